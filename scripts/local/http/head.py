"""The head of a message as bytes (RFC 9112 sections 3 to 5)."""

from __future__ import annotations

import http
import time
from collections.abc import Iterable
from email.utils import formatdate

Header = tuple[bytes, bytes]
Headers = Iterable[Header]

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields that speak of one connection and are never passed on (RFC 9110 section 7.6.1)."""

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in http.HTTPStatus
}


def status_line(status: int) -> bytes:
    """The first line of an answer; a status without a registered phrase has none."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def field_lines(headers: Headers) -> bytes:
    """Header fields, one a line. `ValueError` where a name or value would break out of its line."""
    lines = [b"%b: %b\r\n" % field for field in headers]
    joined = b"".join(lines)
    if joined.count(b"\n") != len(lines) or joined.count(b"\r") != len(lines):
        raise ValueError("a header field contains a line break")
    return joined


def find(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a field; names are in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def end_to_end(headers: list[Header]) -> list[Header]:
    """The fields without those of the connection, including the ones that `Connection` names."""
    named = find(headers, b"connection")
    dropped = HOP_BY_HOP
    if named is not None:
        dropped = HOP_BY_HOP | {token.strip().lower() for token in named.split(b",")}
    return [field for field in headers if field[0] not in dropped]


class Clock:
    """The `Date` field, made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def date_line(self) -> bytes:
        """`date: …` with its line end, in IMF-fixdate (RFC 9110 section 5.6.7)."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line
