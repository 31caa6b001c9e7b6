"""The HTTP binding: binary, structured and batched content mode (CloudEvents HTTP protocol binding 1.0.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from . import grammar, jsonformat
from .cloudevent import CloudEvent
from .errors import EventTooLarge, InvalidEvent, shown
from .validation import check_data, checked

Headers = Iterable[tuple[bytes, bytes]]
"""Pairs of name and value as an ASGI server gives them; names in any case."""

MAX_BODY_BYTES = 1_048_576
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

_TO_ENCODE = re.compile(r"[^!#$&-~]")  # space, ", % and all that isn't printable ASCII (section 3.1.3.2)
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_QUOTED_PAIR = re.compile(rb"\\(.)")
_CHARSETS = frozenset({None, "utf-8", "us-ascii"})


def decode(headers: Headers, body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> list[CloudEvent]:
    """The events of a request or an answer in any mode: one, but for a batch, which may have none.

    Raises InvalidEvent for what breaks the specification, EventTooLarge for a body over ``max_bytes``.
    """
    if len(body) > max_bytes:
        raise EventTooLarge(f"the body has {len(body)} bytes; at most {max_bytes} are taken")
    content_type, attributes = _split(headers)
    if content_type is None or not content_type.lower().startswith("application/cloudevents"):
        return [_binary(content_type, attributes, body)]
    if _event_format(content_type) == BATCHED:
        return jsonformat.from_json_batch(body)
    return [jsonformat.from_json(body)]


def decode_one(headers: Headers, body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> CloudEvent:
    """The event of a request or an answer; as ``decode``, but a batch is refused."""
    pairs = list(headers)
    for name, value in pairs:
        if name.lower() == b"content-type" and grammar.media_type_essence(value.decode("latin-1")) == BATCHED:
            raise InvalidEvent(f"a batch is not taken here; send one event ({STRUCTURED} or binary mode)")
    return decode(pairs, body, max_bytes=max_bytes)[0]


def _split(headers: Headers) -> tuple[str | None, dict[str, bytes]]:
    """Content-Type, and the values of the ``ce-`` headers by attribute name; none may stand twice."""
    content_type: str | None = None
    attributes: dict[str, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name.startswith(b"ce-"):
            attribute = name[3:].decode("latin-1")
            if attribute in attributes:
                raise InvalidEvent(f"header ce-{attribute} stands twice; it may stand once", attribute)
            attributes[attribute] = value
        elif name == b"content-type":
            if content_type is not None:
                raise InvalidEvent("header Content-Type stands twice; it may stand once", "datacontenttype")
            content_type = value.decode("latin-1").strip(" \t")
    return content_type, attributes


def _event_format(content_type: str) -> str:
    essence = grammar.media_type_essence(content_type)
    if not grammar.is_media_type(content_type) or essence not in (STRUCTURED, BATCHED):
        raise InvalidEvent(
            f"Content-Type {shown(content_type)} names no event format that is taken here; "
            f"use {STRUCTURED} or {BATCHED}, or binary mode"
        )
    if grammar.charset_of(content_type) not in _CHARSETS:
        raise InvalidEvent(f"Content-Type {shown(content_type)} has another charset than JSON's, UTF-8")
    return essence


def _binary(content_type: str | None, values: dict[str, bytes], body: bytes) -> CloudEvent:
    if not values:
        raise InvalidEvent(
            f"this is no CloudEvent: there are no ce- headers, and Content-Type is not {STRUCTURED}",
            "specversion",
        )
    if "datacontenttype" in values:
        raise InvalidEvent("header ce-datacontenttype is Content-Type's; leave it out", "datacontenttype")
    attributes: dict[str, object] = {name: _header_value(name, value) for name, value in values.items()}
    attributes["datacontenttype"] = content_type
    event = checked(attributes, body or None)
    check_data(event.data, content_type)
    return event


def _header_value(name: str, value: bytes) -> str:
    """An attribute's value from its header: unquoted, then percent-decoded once (section 3.1.3.2)."""
    text = value.strip(b" \t")
    if text[:1] == b'"':
        text = _unquoted(name, text)
    if not text.isascii():
        raise InvalidEvent(f"header ce-{name} is not ASCII; percent-encode its UTF-8", name)
    if b"%" not in text:
        return text.decode("ascii")
    if _BARE_PERCENT.search(text):
        raise InvalidEvent(f"header ce-{name} has a % without two hexadecimal digits; % itself is %25", name)
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent(f"header ce-{name} is not UTF-8 after percent-decoding", name) from None


def _unquoted(name: str, text: bytes) -> bytes:
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise InvalidEvent(f"header ce-{name} has an unfinished quoted string (RFC 7230 3.2.6)", name)
    return _QUOTED_PAIR.sub(rb"\1", match[1])


def to_binary(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers (names in lower case) and body of the event in binary mode."""
    headers = []
    for name, value in event.attributes().items():
        if name == "datacontenttype":
            headers.append((b"content-type", value.encode("ascii")))
        else:
            headers.append((b"ce-" + name.encode("ascii"), _encoded(value)))
    return headers, event.data or b""


def _encoded(value: str) -> bytes:
    if _TO_ENCODE.search(value):
        value = quote(value, safe=_PRINTABLE)
    return value.encode("ascii")


def to_structured(event: CloudEvent) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the event in structured mode, JSON format."""
    return [(b"content-type", STRUCTURED.encode())], jsonformat.to_json(event)


def to_batch(events: Iterable[CloudEvent]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the events in batched mode, JSON batch format."""
    return [(b"content-type", BATCHED.encode())], jsonformat.to_json_batch(events)
