"""The HTTP binding: binary, structured and batched content mode (CloudEvents HTTP protocol binding 1.0.2)."""

from __future__ import annotations

from collections.abc import Iterable

from . import grammar, headertext, jsonformat
from .cloudevent import SPEC_VERSION, CloudEvent
from .errors import EventTooLarge, InvalidEvent, shown
from .layout import Binding
from .remembered import remembered

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
    try:
        names, values = zip(*headers)  # noqa: B905 (pairs; strict takes as long again)
    except ValueError:  # none
        names = values = ()
    layout = _BINDING.layout(names)
    event_format = None if layout.content_type is None else _event_format(values[layout.content_type])
    if event_format == BATCHED:
        return None
    if event_format == STRUCTURED:
        return jsonformat.from_json(body)
    if layout.is_bare:
        raise InvalidEvent(
            f"this is no CloudEvent: there are no ce- headers, and Content-Type is not {STRUCTURED}",
            "specversion",
        )
    return layout.event(values, body or None)


def _attribute(header: bytes) -> str | None:
    """The name of the attribute that a header holds; None for a header that isn't an event's."""
    name = header.decode("latin-1").lower()
    if name == "ce-datacontenttype":
        raise InvalidEvent(f"header {name} is Content-Type's; leave it out", "datacontenttype")
    if name.startswith("ce-"):
        return name[3:]
    return "datacontenttype" if name == "content-type" else None


_BINDING = Binding(_attribute, headertext.decoded, headertext.UNENCODED)


@remembered
def _event_format(value: bytes) -> str | None:
    """Which event format a Content-Type announces; None for binary mode (section 3)."""
    content_type = value.decode("latin-1")
    if not content_type.lower().startswith("application/cloudevents"):
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


def to_binary(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers (names in lower case) and body of the event in binary mode."""
    names, values = event.own()
    own = zip(_header_names(names), headertext.encoded(values))  # noqa: B905 (as above)
    return [*_recurrent_headers(event.recurrent()), *own], event.data or b""


@remembered
def _header_names(attributes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(b"ce-" + name.encode("ascii") for name in attributes)


@remembered
def _recurrent_headers(values: tuple[str, str, str | None, str | None]) -> tuple[tuple[bytes, bytes], ...]:
    source, event_type, content_type, schema = values
    named = {"specversion": SPEC_VERSION, "source": source, "type": event_type, "dataschema": schema}
    attributes = {name: value for name, value in named.items() if value is not None}
    names, encoded = _header_names(tuple(attributes)), headertext.encoded(list(attributes.values()))
    media_type = [] if content_type is None else [(b"content-type", content_type.encode("ascii"))]
    return (*zip(names, encoded, strict=True), *media_type)


def to_structured(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the event in structured mode, JSON format."""
    return [_STRUCTURED_HEADER], jsonformat.to_json(event)


def to_batch(events: Iterable[CloudEvent]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the events in batched mode, JSON batch format."""
    return [_BATCHED_HEADER], jsonformat.to_json_batch(events)
