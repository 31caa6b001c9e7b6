"""JSON text (RFC 8259), read strictly: UTF-8, no NaN, no lone surrogate, no byte order mark, no name twice.

orjson reads. What it lets pass is found by writing the value again and comparing, so that a text is gone
through slowly only where something in it asks for that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from .errors import InvalidEvent, shown

_BLANKS = re.compile(r"[ \t\r\n]*")
_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{15}")  # may have more digits than a 64-bit float keeps


def parse(text: bytes, where: str | None = None) -> Any:
    """The value that ``text`` spells (of equal names the last); InvalidEvent about ``where`` if none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = f"{error.msg.partition(': line ')[0]} (line {error.lineno}, column {error.colno})"
        raise InvalidEvent(f"{where or 'the body'} is not JSON: {reason}", where) from None


def loads(text: bytes, where: str | None = None) -> Any:
    """The value that ``text`` spells; InvalidEvent about ``where`` if it isn't JSON or has a name twice."""
    value = parse(text, where)
    if not _keeps_every_name(text, written(value)):
        _refuse_duplicates(text, where)
    return value


def is_lossless(text: bytes, written: bytes | None) -> bool:
    """Whether the value read from ``text``, ``written`` again, has every name and every digit of its numbers.

    Where this is False the text may still be harmless; ``members`` and ``elements`` then tell.
    """
    return written == text or (_keeps_every_name(text, written) and _LONG_NUMBER.search(text) is None)


def written(value: Any) -> bytes | None:
    """The value as JSON text; None if it is nested deeper than orjson writes (254 levels; it reads 1,024)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return None


def _keeps_every_name(text: bytes, written: bytes | None) -> bool:
    # Reading drops all but the last of equal names, and with each at least two quotation marks. Only \u0022,
    # another spelling of a quotation mark, could hide that from the count.
    return written is not None and written.count(b'"') == text.count(b'"') and b"\\u0022" not in text


def _refuse_duplicates(text: bytes, where: str | None) -> None:
    def unique(members: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in members:
            if name in seen:
                raise _twice(name, where)
            seen.add(name)

    try:
        json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise _too_deep(where) from None


def members(text: bytes) -> dict[str, bytes]:
    """The members of a JSON object, each value as it was sent; InvalidEvent if a name stands twice.

    ``text`` has been parsed before and is known to be an object.
    """
    found: dict[str, bytes] = {}
    document = text.decode()
    values = _values(document)
    for (name, _), (_, value) in zip(values, values, strict=True):
        if name in found:
            raise _twice(name, None)
        found[name] = value.encode()
    return found


def elements(text: bytes) -> list[bytes]:
    """The elements of a JSON array, each as the text that was sent; ``text`` is known to be an array."""
    return [value.encode() for _, value in _values(text.decode())]


def _values(document: str) -> Iterator[tuple[Any, str]]:
    """Every name and value of the outermost object or array, in order: what it is, and its text."""
    read = json.JSONDecoder().raw_decode
    position = _after_blanks(document, _after_blanks(document, 0) + 1)
    while document[position] not in "]}":
        start = position
        try:
            value, position = read(document, start)
        except RecursionError:
            raise _too_deep(None) from None
        yield value, document[start:position]
        position = _after_blanks(document, position)
        if document[position] in ",:":
            position = _after_blanks(document, position + 1)


def _after_blanks(document: str, position: int) -> int:
    match = _BLANKS.match(document, position)
    return match.end() if match else position


def _twice(name: str, where: str | None) -> InvalidEvent:
    return InvalidEvent(
        f"{where or 'the body'} has the name {shown(name)} twice in one JSON object; it may stand once", where
    )


def _too_deep(where: str | None) -> InvalidEvent:
    return InvalidEvent(f"{where or 'the body'} is nested too deeply; a few hundred levels are taken", where)
