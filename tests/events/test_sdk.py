"""Round trips with the CloudEvents SDK (1.12), where it keeps the specification.

It neither encodes nor decodes percent signs in headers, takes empty JSON values for none, keeps no
`partitionkey` beside a Kafka key, and puts the data's media type where structured mode's belongs. So the
values here need no encoding and aren't empty, and its structured Kafka record is read with the content
type that the binding asks for.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents import http as sdk_http
from cloudevents import kafka as sdk_kafka
from cloudevents.conversion import to_binary, to_json, to_structured
from hypothesis import given
from hypothesis import strategies as st

from events import CloudEvent, http, jsonformat, kafka
from tests.events.strategies import examples, json_values, names, sources, times

words = st.from_regex(r"[!#$&-~]{1,12}", fullmatch=True)
json_events = st.builds(
    CloudEvent,
    id=words,
    source=sources.filter(lambda source: "%" not in source),
    type=words,
    subject=st.none() | words,
    time=times,
    datacontenttype=st.just("application/json"),
    data=json_values.filter(bool).map(lambda value: json.dumps(value).encode()),
    extensions=st.dictionaries(names.filter(lambda name: name != "partitionkey"), words, max_size=3),
)


def of_sdk(event: CloudEvent) -> sdk_http.CloudEvent:
    return sdk_http.CloudEvent(event.attributes(), event.json())


def meaning(event: CloudEvent) -> tuple[dict[str, str], Any]:
    return event.attributes(), event.json()


def meaning_of_sdk(event: Any) -> tuple[dict[str, Any], Any]:
    attributes = {name: value for name, value in event.get_attributes().items() if value is not None}
    return attributes, event.get_data()


def pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def headers(of: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in of}


@examples
@given(json_events)
def test_the_sdk_reads_what_we_write(event: CloudEvent) -> None:
    for mode in (http.to_binary, http.to_structured):
        written, body = mode(event)
        assert meaning_of_sdk(sdk_http.from_http(headers(written), body)) == meaning(event)
    assert meaning_of_sdk(sdk_http.from_json(jsonformat.to_json(event))) == meaning(event)


@examples
@given(json_events)
def test_we_read_what_the_sdk_writes(event: CloudEvent) -> None:
    for mode in (to_binary, to_structured):
        written, body = mode(of_sdk(event))
        assert meaning(http.decode_one(pairs(written), body)) == meaning(event)
    assert meaning(jsonformat.from_json(to_json(of_sdk(event)))) == meaning(event)


@examples
@given(json_events)
def test_kafka_records_go_both_ways_in_binary_mode(event: CloudEvent) -> None:
    record = kafka.to_record(event)
    read = sdk_kafka.from_binary(
        sdk_kafka.KafkaMessage(dict(record.headers), record.key, record.value or b"")
    )
    assert meaning_of_sdk(read) == meaning(event)
    written = sdk_kafka.to_binary(of_sdk(event))
    assert meaning(
        kafka.from_record(kafka.Record(None, as_bytes(written.value), tuple(written.headers.items())))
    ) == meaning(event)


@examples
@given(json_events)
def test_we_read_the_sdks_structured_kafka_record(event: CloudEvent) -> None:
    written = sdk_kafka.to_structured(of_sdk(event))
    structured = (("content-type", b"application/cloudevents+json"),)
    assert meaning(kafka.from_record(kafka.Record(None, as_bytes(written.value), structured))) == meaning(
        event
    )


def as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def test_a_partitionkey_is_the_key_on_both_sides() -> None:
    event = CloudEvent("1", "/s", "t", datacontenttype="application/json", data=b"1").extended(
        partitionkey="k"
    )
    record = kafka.to_record(event)
    assert record.key == b"k"
    assert sdk_kafka.to_binary(of_sdk(event)).key == "k"


@pytest.mark.parametrize("data", [b"\x00\xff", b"text"])
def test_bytes_go_both_ways(data: bytes) -> None:
    event = CloudEvent(
        "1", "/s", "t", time="2018-04-05T17:31:00Z", datacontenttype="application/x-bytes", data=data
    )
    ours, theirs = http.to_structured(event), to_structured(sdk_http.CloudEvent(event.attributes(), data))
    assert sdk_http.from_http(headers(ours[0]), ours[1]).get_data() == data
    assert http.decode_one(pairs(theirs[0]), theirs[1]) == event
