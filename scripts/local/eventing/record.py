"""An event as the log keeps it: in HTTP binary mode, so that a delivery sends what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from events import CloudEvent
from events.http import to_binary

Header = tuple[bytes, bytes]

RECORD_BYTES = 512
HEADER_BYTES = 256
"""A header and its attribute as Python objects, about."""


class Record(NamedTuple):
    """One stored event.

    Attributes:
        offset: its place in its Broker's log; offsets rise, a refused append leaves a gap.
        arrived_ms: when the ingress took it, milliseconds since the epoch.
        key: the extension `partitionkey`; events of one key are delivered in order where that is asked for.
        headers: the HTTP headers of binary mode (`ce-…`, `content-type`), percent-encoded.
        data: the payload.
        attributes: every context attribute in its canonical string form, as filters see it.
        size_bytes: about what it takes in memory.
    """

    offset: int
    arrived_ms: int
    key: str | None
    headers: tuple[Header, ...]
    data: bytes
    attributes: Mapping[str, str]
    size_bytes: int


def record_of(event: CloudEvent, offset: int, arrived_ms: int) -> Record:
    """The record of an event that has been validated."""
    headers, data = to_binary(event)
    return _record(offset, arrived_ms, tuple(headers), data, event.attributes())


def stored_record(offset: int, arrived_ms: int, block: bytes, data: bytes) -> Record:
    """The record that was stored as these values."""
    headers = from_block(block)
    return _record(offset, arrived_ms, headers, data, attributes_of(headers))


def _record(
    offset: int, arrived_ms: int, headers: tuple[Header, ...], data: bytes, attributes: Mapping[str, str]
) -> Record:
    size_bytes = RECORD_BYTES + len(headers) * HEADER_BYTES + len(data)
    return Record(offset, arrived_ms, attributes.get("partitionkey"), headers, data, attributes, size_bytes)


def header_block(headers: tuple[Header, ...]) -> bytes:
    """The headers as one value, a line each: percent-encoded, they hold no line break."""
    return b"\n".join([name + b":" + value for name, value in headers])


def from_block(block: bytes) -> tuple[Header, ...]:
    """What `header_block` was given."""
    headers = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        headers.append((name, value))
    return tuple(headers)


def attributes_of(headers: tuple[Header, ...]) -> dict[str, str]:
    """The attributes behind the headers of binary mode (CloudEvents HTTP binding, section 3.1.3)."""
    attributes = {}
    for name, value in headers:
        text = value.decode("ascii")
        if name == b"content-type":
            attributes["datacontenttype"] = text
        else:
            attributes[name[3:].decode("ascii")] = unquote(text) if "%" in text else text
    return attributes
