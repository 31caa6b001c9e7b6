from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from events import CloudEvent, InvalidEvent, kafka
from events.kafka import Record
from tests.events import strategies
from tests.events.strategies import examples, meaning

EVENT = CloudEvent(id="1", source="/s", type="t")
HEADERS = (("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("ce_type", b"t"), ("ce_id", b"1"))
MINIMAL = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'


def refused(record: Record) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        kafka.from_record(record)
    return caught.value


@examples
@given(strategies.events())
def test_an_event_comes_back_as_it_was_in_either_mode(event: CloudEvent) -> None:
    assert kafka.from_record(kafka.to_record(event)) == event
    assert meaning(kafka.from_record(kafka.to_record(event, structured=True))) == meaning(event)


@examples
@given(strategies.events(strategies.extensions))
def test_typed_extensions_become_their_canonical_strings_in_binary_mode(event: CloudEvent) -> None:
    assert kafka.from_record(kafka.to_record(event)).attributes() == event.attributes()


def test_a_record_is_as_a_broker_writes_it() -> None:
    """Knative's Kafka Broker: key = partitionkey, headers ce_…, content-type, the value is the data."""
    event = replace(EVENT, datacontenttype="text/plain", data=b"a", subject="Euro € 😀").extended(
        partitionkey="k"
    )
    assert kafka.to_record(event) == Record(
        key=b"k",
        value=b"a",
        headers=(
            *HEADERS[:3],
            ("content-type", b"text/plain"),
            *HEADERS[3:],
            ("ce_subject", "Euro € 😀".encode()),
            ("ce_partitionkey", b"k"),
        ),
    )


@pytest.mark.parametrize("structured", [True, False])
def test_an_event_without_partitionkey_has_no_key(structured: bool) -> None:
    assert kafka.to_record(EVENT, structured=structured).key is None


def test_a_key_adds_no_attribute() -> None:
    """Kafka binding 3.1: a mapping of keys must not change the event."""
    assert kafka.from_record(Record(b"k", None, HEADERS)) == EVENT


def test_an_event_without_data_is_a_record_without_value_in_binary_mode_only() -> None:
    assert kafka.to_record(EVENT).value is None
    assert kafka.to_record(EVENT, structured=True).value == MINIMAL


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+json; charset=UTF-8", b"APPLICATION/CloudEvents+json"]
)
def test_structured_mode_is_known_by_its_content_type(content_type: bytes) -> None:
    assert kafka.from_record(Record(None, MINIMAL, (("Content-Type", content_type),))) == EVENT


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+avro", b"application/cloudevents-batch+json"]
)
def test_a_format_that_isnt_one_json_event_is_refused(content_type: bytes) -> None:
    assert "is not taken" in str(refused(Record(None, MINIMAL, (("content-type", content_type),))))


@pytest.mark.parametrize(
    ("header", "attribute"),
    [
        (("ce_subject", b"\xff"), "subject"),
        (("ce_subject", b""), "subject"),
        (("ce_id", b"2"), "id"),
        (("ce_Ext", b"x"), "Ext"),
        (("ce_datacontenttype", b"text/plain"), "datacontenttype"),
        (("content-type", b"xyz"), "datacontenttype"),
        (("ce_data", b"x"), "data"),
    ],
)
def test_a_header_that_no_event_has_is_refused(header: tuple[str, bytes], attribute: str) -> None:
    assert refused(Record(None, None, (*HEADERS, header))).attribute == attribute


def test_percent_signs_are_kept() -> None:
    """Unlike HTTP's, Kafka's headers are UTF-8 and aren't percent-encoded."""
    event = kafka.from_record(Record(None, None, (*HEADERS, ("ce_subject", "100%25 é".encode()))))
    assert event.subject == "100%25 é"


def test_other_headers_are_ignored() -> None:
    assert (
        kafka.from_record(Record(None, None, (*HEADERS, ("traceparent", b"\xff"), ("CE_ID", b"9")))) == EVENT
    )


def test_a_record_that_isnt_an_event_says_what_is_missing() -> None:
    assert refused(Record(b"k", b"v")).attribute == "specversion"
    assert str(refused(Record(None, None, (("content-type", b"application/cloudevents+json"),)))).startswith(
        "the body is not JSON"
    )


def test_a_value_that_promises_json_is_json() -> None:
    assert refused(Record(None, b"{", (*HEADERS, ("content-type", b"application/json")))).attribute == "data"
