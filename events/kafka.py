"""The Kafka binding: binary and structured content mode (CloudEvents Kafka protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from . import grammar, jsonformat
from .cloudevent import CloudEvent, canonical
from .errors import InvalidEvent, shown
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
    attributes = _attributes(record.headers)
    content_type = attributes.get("datacontenttype")
    if content_type is None or not content_type.lower().startswith("application/cloudevents"):
        event = checked(attributes, record.value)
        check_data(event.data, content_type)
        return event
    if grammar.media_type_essence(content_type) != STRUCTURED:
        raise InvalidEvent(f"content-type {shown(content_type)} is not taken; use {STRUCTURED}")
    return jsonformat.from_json(record.value or b"")


def _attributes(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The values of the ``ce_`` headers by attribute, and that of ``content-type`` as ``datacontenttype``."""
    attributes: dict[str, str] = {}
    for name, value in headers:
        attribute = _attribute(name)
        if attribute is None:
            continue
        if attribute in attributes:
            raise InvalidEvent(f"header {shown(name)} stands twice; it may stand once", attribute)
        try:
            attributes[attribute] = value.decode()
        except UnicodeDecodeError:
            raise InvalidEvent(f"header {shown(name)} is not UTF-8", attribute) from None
    return attributes


@lru_cache(maxsize=256)
def _attribute(header: str) -> str | None:
    """The name of the attribute that a header holds; None for a header that isn't an event's."""
    if header == "ce_datacontenttype":
        raise InvalidEvent(f"header {header} is content-type's; leave it out", "datacontenttype")
    if header.startswith("ce_"):
        return header[3:]
    return "datacontenttype" if header.lower() == "content-type" else None
