"""Attribute values as HTTP headers carry them (CloudEvents HTTP protocol binding 1.0.2, section 3.1.3.2).

Nearly all values need neither encoding nor decoding. An event's own are therefore tried together: here, where
they are written, joined by spaces, which none of them has; in ``layout``, where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from .cloudevent import canonical
from .errors import InvalidEvent

UNENCODED = bytes(code for code in range(0x21, 0x7F) if code not in b'"%')
"""The characters that stand for themselves in any header."""

_SAFE = UNENCODED.decode()
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")


def encoded(values: Sequence[Any]) -> list[bytes]:
    """Attributes' values in printable ASCII, percent-encoded where they need it."""
    try:
        together = " ".join(values).encode()
    except TypeError:  # an extension isn't a string
        return encoded([canonical(value) for value in values])
    if len(together.translate(None, UNENCODED)) == len(values) - 1:
        return together.split(b" ")
    return [quote(value, safe=_SAFE).encode("ascii") for value in values]


def decoded(name: str, value: bytes) -> str:
    """The attribute's value, unquoted and percent-decoded; InvalidEvent if it can't be decoded.

    ``datacontenttype`` is Content-Type's value, which isn't encoded.
    """
    text = value.decode("latin-1").strip(" \t")
    if name == "datacontenttype":
        return text
    if not text.isascii():
        raise InvalidEvent(f"header ce-{name} is not ASCII; percent-encode its UTF-8", name)
    if text[:1] == '"':
        text = _unquoted(name, text)
    if "%" not in text:
        return text
    if _BARE_PERCENT.search(text):
        raise InvalidEvent(f"header ce-{name} has a % without two hexadecimal digits; % itself is %25", name)
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent(f"header ce-{name} is not UTF-8 after percent-decoding", name) from None


def _unquoted(name: str, text: str) -> str:
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise InvalidEvent(f"header ce-{name} has an unfinished quoted string (RFC 7230 3.2.6)", name)
    return _QUOTED_PAIR.sub(r"\1", match[1])
