"""The Kafka binding: binary and structured content mode (CloudEvents Kafka protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import grammar, jsonformat
from .cloudevent import SPEC_VERSION, CloudEvent, canonical
from .errors import InvalidEvent, shown
from .layout import Binding
from .remembered import remembered

STRUCTURED = "application/cloudevents+json"

_STRUCTURED_HEADERS = (("content-type", STRUCTURED.encode()),)


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
        return Record(key, jsonformat.to_json(event), _STRUCTURED_HEADERS)
    names, values = event.own()
    own = zip(_header_names(names), _encoded(values))  # noqa: B905 (as below)
    return Record(key, event.data, (*_recurrent_headers(event.recurrent()), *own))


@remembered
def _header_names(attributes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"ce_{name}" for name in attributes)


@remembered
def _recurrent_headers(values: tuple[str, str, str | None, str | None]) -> tuple[tuple[str, bytes], ...]:
    names = ("ce_specversion", "ce_source", "ce_type", "content-type", "ce_dataschema")
    pairs = zip(names, (SPEC_VERSION, *values), strict=True)
    return tuple((name, value.encode()) for name, value in pairs if value is not None)


def _encoded(values: Sequence[Any]) -> list[bytes]:
    try:
        return list(map(str.encode, values))
    except TypeError:  # an extension isn't a string
        return [canonical(value).encode() for value in values]


def from_record(record: Record) -> CloudEvent:
    """The event that a record carries, in either mode; InvalidEvent if it breaks the specification.

    The key says where the record lies and adds nothing to the event (section 3.1).
    """
    try:
        names, values = zip(*record.headers)  # noqa: B905 (pairs; strict takes as long again)
    except ValueError:  # none
        names = values = ()
    layout = _BINDING.layout(names)
    if layout.content_type is not None and _is_structured(values[layout.content_type]):
        return jsonformat.from_json(record.value or b"")
    return layout.event(values, record.value)


@remembered
def _is_structured(content_type: bytes) -> bool:
    text = _text("datacontenttype", content_type)
    if not text.lower().startswith("application/cloudevents"):
        return False
    if grammar.media_type_essence(text) != STRUCTURED:
        raise InvalidEvent(f"content-type {shown(text)} is not taken; use {STRUCTURED}")
    return True


def _attribute(header: str) -> str | None:
    """The name of the attribute that a header holds; None for a header that isn't an event's."""
    if header == "ce_datacontenttype":
        raise InvalidEvent(f"header {header} is content-type's; leave it out", "datacontenttype")
    if header.startswith("ce_"):
        return header[3:]
    return "datacontenttype" if header.lower() == "content-type" else None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        header = "content-type" if name == "datacontenttype" else f"ce_{name}"
        raise InvalidEvent(f"header {shown(header)} is not UTF-8", name) from None


_BINDING = Binding(_attribute, _text, bytes(range(0x20, 0x7F)))
