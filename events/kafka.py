"""The Kafka binding: binary and structured content mode (CloudEvents Kafka protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import grammar, jsonformat
from .cloudevent import CloudEvent, canonical
from .errors import InvalidEvent, shown
from .validation import check_data, checked

STRUCTURED = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as every client has it: key, value and headers, whose values are UTF-8 text."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def to_record(event: CloudEvent, *, structured: bool = False) -> Record:
    """The event as a record; its key is the extension ``partitionkey``, which also stays in the event.

    In binary mode an event without data has no value, which a compacted topic takes for a tombstone.
    """
    partition_key = event.extensions.get("partitionkey")
    key = None if partition_key is None else canonical(partition_key).encode()
    if structured:
        return Record(key, jsonformat.to_json(event), (("content-type", STRUCTURED.encode()),))
    headers = tuple(
        ("content-type" if name == "datacontenttype" else f"ce_{name}", value.encode())
        for name, value in event.attributes().items()
    )
    return Record(key, event.data, headers)


def from_record(record: Record) -> CloudEvent:
    """The event that a record carries, in either mode; InvalidEvent if it breaks the specification.

    The key says where the record lies and adds nothing to the event (section 3.1).
    """
    content_type, attributes = _split(record.headers)
    if content_type is None or not content_type.lower().startswith("application/cloudevents"):
        event = checked({**attributes, "datacontenttype": content_type}, record.value)
        check_data(event.data, content_type)
        return event
    if grammar.media_type_essence(content_type) != STRUCTURED:
        raise InvalidEvent(f"content-type {shown(content_type)} is not taken; use {STRUCTURED}")
    return jsonformat.from_json(record.value or b"")


def _split(headers: Iterable[tuple[str, bytes]]) -> tuple[str | None, dict[str, object]]:
    """The header ``content-type``, and the values of the ``ce_`` headers by attribute name."""
    content_type: str | None = None
    attributes: dict[str, object] = {}
    for name, value in headers:
        if name.lower() == "content-type":
            if content_type is not None:
                raise InvalidEvent("header content-type stands twice; it may stand once", "datacontenttype")
            content_type = _text(name, value)
        elif name.startswith("ce_"):
            if name[3:] in attributes or name == "ce_datacontenttype":
                raise InvalidEvent(f"header {name} may not be there, or not twice", name[3:])
            attributes[name[3:]] = _text(name, value)
    return content_type, attributes


def _text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent(f"header {name} is not UTF-8", name.removeprefix("ce_")) from None
