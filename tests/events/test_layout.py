"""What headers' layouts and recurring values remember, through the bindings that use them."""

from __future__ import annotations

import pytest

from events import InvalidEvent, http, kafka

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "t",
    "subject": "s",
    "time": "2026-01-30T00:00:00Z",
    "datacontenttype": "text/plain",
    "dataschema": "urn:x:y",
    "ext": "e",
}


def http_headers(attributes: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type" if name == "datacontenttype" else b"ce-" + name.encode(), value.encode())
        for name, value in attributes.items()
    ]


def kafka_record(attributes: dict[str, str], data: bytes | None = None) -> kafka.Record:
    headers = [(name.decode().replace("ce-", "ce_"), value) for name, value in http_headers(attributes)]
    return kafka.Record(None, data, tuple(headers))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("specversion", "1.1"),
        ("id", ""),
        ("source", "/s|"),
        ("source", ""),
        ("type", ""),
        ("type", "t\x7f"),
        ("subject", ""),
        ("subject", "s\x00"),
        ("time", "2026-02-30T00:00:00Z"),
        ("time", ""),
        ("datacontenttype", "text"),
        ("dataschema", "schema"),
        ("ext", "\x01"),
    ],
)
def test_an_event_is_refused_for_what_breaks_the_specification_after_many_were_taken(
    name: str, bad: str
) -> None:
    for _ in range(2):
        assert http.decode_one(http_headers(ATTRIBUTES), b"a").attributes() == ATTRIBUTES
        assert kafka.from_record(kafka_record(ATTRIBUTES)).attributes() == ATTRIBUTES
        with pytest.raises(InvalidEvent) as from_http:
            http.decode_one(http_headers(ATTRIBUTES | {name: bad}), b"a")
        with pytest.raises(InvalidEvent) as from_kafka:
            kafka.from_record(kafka_record(ATTRIBUTES | {name: bad}))
        assert from_http.value.attribute == from_kafka.value.attribute == name


@pytest.mark.parametrize("name", ["subject", "time", "datacontenttype", "dataschema", "ext"])
def test_an_optional_attribute_may_be_absent_or_stand_anywhere(name: str) -> None:
    without = {key: value for key, value in ATTRIBUTES.items() if key != name}
    first = {name: ATTRIBUTES[name], **without}
    for attributes in (without, first, dict(reversed(ATTRIBUTES.items()))):
        assert http.decode_one(http_headers(attributes), b"").attributes() == attributes
        assert kafka.from_record(kafka_record(attributes)).attributes() == attributes


def test_what_one_binding_read_another_reads_in_its_own_way() -> None:
    attributes = ATTRIBUTES | {"source": "/%2541", "subject": "%41"}
    for _ in range(2):
        from_http = http.decode_one(http_headers(attributes), b"")
        assert (from_http.source, from_http.subject) == ("/%41", "A")
        from_kafka = kafka.from_record(kafka_record(attributes))
        assert (from_kafka.source, from_kafka.subject) == ("/%2541", "%41")


@pytest.mark.parametrize("source", ["/" + "s" * 2_000, "/s"])
@pytest.mark.parametrize("data", [b"{", b'{"a":1}'])
def test_data_that_promises_json_is_json_however_long_the_attributes(source: str, data: bytes) -> None:
    attributes = ATTRIBUTES | {"source": source, "datacontenttype": "application/json"}
    if data == b"{":
        with pytest.raises(InvalidEvent, match="data is not JSON"):
            http.decode_one(http_headers(attributes), data)
        with pytest.raises(InvalidEvent, match="data is not JSON"):
            kafka.from_record(kafka_record(attributes, data))
    else:
        assert http.decode_one(http_headers(attributes), data).data == data
        assert kafka.from_record(kafka_record(attributes, data)).data == data
