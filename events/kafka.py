"""The Kafka binding: binary and structured content mode (CloudEvents Kafka protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from . import grammar, jsonformat
from .cloudevent import CloudEvent, canonical
from .errors import InvalidEvent, shown
from .layout import Layout
from .validation import check_data, checked

STRUCTURED = "application/cloudevents+json"


class Record(NamedTuple):
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
    attributes = event.attributes()
    names = _header_names(tuple(attributes))
    return Record(key, event.data, tuple(zip(names, map(str.encode, attributes.values()), strict=True)))


@lru_cache(maxsize=256)
def _header_names(attributes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("content-type" if name == "datacontenttype" else f"ce_{name}" for name in attributes)


def from_record(record: Record) -> CloudEvent:
    """The event that a record carries, in either mode; InvalidEvent if it breaks the specification.

    The key says where the record lies and adds nothing to the event (section 3.1).
    """
    names, values = tuple(zip(*record.headers, strict=True)) or ((), ())
    layout = _layout(names)
    content_type = None if layout.content_type is None else _text("content-type", values[layout.content_type])
    if content_type is None or not content_type.lower().startswith("application/cloudevents"):
        event = layout.plain_event(values, content_type, record.value) or _event(layout, values, record.value)
        check_data(event.data, content_type)
        return event
    if grammar.media_type_essence(content_type) != STRUCTURED:
        raise InvalidEvent(f"content-type {shown(content_type)} is not taken; use {STRUCTURED}")
    return jsonformat.from_json(record.value or b"")


@lru_cache(maxsize=256)
def _layout(headers: tuple[str, ...]) -> Layout:
    """Which headers hold attributes: the ``ce_`` ones, and ``content-type`` as ``datacontenttype``."""
    attributes: dict[str, int] = {}
    for place, header in enumerate(headers):
        name = _attribute(header)
        if name in attributes:
            raise InvalidEvent(f"header {shown(header)} stands twice; it may stand once", name)
        if name is not None:
            attributes[name] = place
    return Layout.of(attributes)


def _attribute(header: str) -> str | None:
    """The name of the attribute that a header holds; None for a header that isn't an event's."""
    if header == "ce_datacontenttype":
        raise InvalidEvent(f"header {header} is content-type's; leave it out", "datacontenttype")
    if header.startswith("ce_"):
        return header[3:]
    return "datacontenttype" if header.lower() == "content-type" else None


def _event(layout: Layout, values: Sequence[bytes], value: bytes | None) -> CloudEvent:
    return checked({name: _text(f"ce_{name}", values[place]) for name, place in layout.attributes}, value)


def _text(header: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        attribute = header.removeprefix("ce_") if header.startswith("ce_") else "datacontenttype"
        raise InvalidEvent(f"header {shown(header)} is not UTF-8", attribute) from None
