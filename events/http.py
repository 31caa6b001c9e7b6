"""The HTTP binding: binary, structured and batched content mode (CloudEvents HTTP protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from . import grammar, headertext, jsonformat
from .cloudevent import CloudEvent
from .errors import EventTooLarge, InvalidEvent, shown
from .layout import Layout
from .validation import check_data, checked

Headers = Iterable[tuple[bytes, bytes]]
"""Pairs of name and value as an ASGI server gives them; names in any case."""

MAX_BODY_BYTES = 1_048_576
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

_STRUCTURED_HEADER = (b"content-type", STRUCTURED.encode())
_BATCHED_HEADER = (b"content-type", BATCHED.encode())
_CHARSETS = frozenset({None, "utf-8", "us-ascii"})


def decode(headers: Headers, body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> list[CloudEvent]:
    """The events of a request or an answer in any mode: one, but for a batch, which may have none.

    Raises InvalidEvent for what breaks the specification, EventTooLarge for a body over ``max_bytes``.
    """
    event = _event_unless_batch(headers, body, max_bytes)
    return jsonformat.from_json_batch(body) if event is None else [event]


def decode_one(headers: Headers, body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> CloudEvent:
    """The event of a request or an answer; as ``decode``, but a batch is refused."""
    event = _event_unless_batch(headers, body, max_bytes)
    if event is None:
        raise InvalidEvent(f"a batch is not taken here; send one event ({STRUCTURED} or binary mode)")
    return event


def _event_unless_batch(headers: Headers, body: bytes, max_bytes: int) -> CloudEvent | None:
    if len(body) > max_bytes:
        raise EventTooLarge(f"the body has {len(body)} bytes; at most {max_bytes} are taken")
    names, values = tuple(zip(*headers, strict=True)) or ((), ())
    layout = _layout(names)
    content_type = None if layout.content_type is None else values[layout.content_type].decode("latin-1")
    event_format = _event_format(content_type)
    if event_format == BATCHED:
        return None
    if event_format == STRUCTURED:
        return jsonformat.from_json(body)
    event = layout.plain_event(values, content_type, body or None) or _event(layout, values, body)
    check_data(event.data, event.datacontenttype)
    return event


@lru_cache(maxsize=256)
def _layout(headers: tuple[bytes, ...]) -> Layout:
    """Which headers hold attributes: the ``ce-`` ones, and Content-Type as ``datacontenttype``."""
    attributes: dict[str, int] = {}
    for place, header in enumerate(headers):
        name = _attribute(header)
        if name in attributes:
            raise InvalidEvent(
                f"header {shown(header.decode('latin-1'))} stands twice; it may stand once", name
            )
        if name is not None:
            attributes[name] = place
    return Layout.of(attributes)


def _attribute(header: bytes) -> str | None:
    """The name of the attribute that a header holds; None for a header that isn't an event's."""
    name = header.decode("latin-1").lower()
    if name == "ce-datacontenttype":
        raise InvalidEvent(f"header {name} is Content-Type's; leave it out", "datacontenttype")
    if name.startswith("ce-"):
        return name[3:]
    return "datacontenttype" if name == "content-type" else None


@lru_cache(maxsize=256)
def _event_format(content_type: str | None) -> str | None:
    """Which event format a Content-Type announces; None for binary mode (section 3)."""
    if content_type is None or not content_type.lower().startswith("application/cloudevents"):
        return None
    essence = grammar.media_type_essence(content_type)
    if not grammar.is_media_type(content_type) or essence not in (STRUCTURED, BATCHED):
        raise InvalidEvent(
            f"Content-Type {shown(content_type)} names no event format that is taken here; "
            f"use {STRUCTURED} or {BATCHED}, or binary mode"
        )
    if grammar.charset_of(content_type) not in _CHARSETS:
        raise InvalidEvent(f"Content-Type {shown(content_type)} has another charset than JSON's, UTF-8")
    return essence


def _event(layout: Layout, values: Sequence[bytes], body: bytes) -> CloudEvent:
    attributes = {name: values[place].decode("latin-1") for name, place in layout.attributes}
    if not attributes.keys() - {"datacontenttype"}:
        raise InvalidEvent(
            f"this is no CloudEvent: there are no ce- headers, and Content-Type is not {STRUCTURED}",
            "specversion",
        )
    return checked(headertext.decoded(attributes), body or None)


def to_binary(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers (names in lower case) and body of the event in binary mode."""
    attributes = event.attributes()
    content_type = attributes.pop("datacontenttype", None)
    headers = list(
        zip(_header_names(tuple(attributes)), headertext.encoded(attributes.values()), strict=True)
    )
    if content_type is not None:
        headers.append((b"content-type", content_type.encode("ascii")))
    return headers, event.data or b""


@lru_cache(maxsize=256)
def _header_names(attributes: tuple[str, ...]) -> list[bytes]:
    return [b"ce-" + name.encode("ascii") for name in attributes]


def to_structured(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the event in structured mode, JSON format."""
    return [_STRUCTURED_HEADER], jsonformat.to_json(event)


def to_batch(events: Iterable[CloudEvent]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the events in batched mode, JSON batch format."""
    return [_BATCHED_HEADER], jsonformat.to_json_batch(events)
