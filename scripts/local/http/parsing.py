"""Bytes to requests: httptools does the grammar (RFC 9112), this the limits and what grammar can't say."""

# ruff: noqa: D102, S101  the callbacks are httptools'; asserts state the order they come in
from __future__ import annotations

from typing import NamedTuple, Protocol

import httptools

from .limits import Limits
from .request import Exchange, Request

PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
READ_BYTES = 262_144
"""What one read of uvloop brings at most."""


class Refusal(NamedTuple):
    """Why a client's bytes are no request that is served."""

    status: int
    reason: str

    def answer(self, request: Request) -> None:
        """Tell the client, in a line of text."""
        request.reply(self.status, PLAIN, f"{self.reason}\n".encode())


class Parsed(Exchange, Protocol):
    """Whom the parser tells what it finds."""

    def head_began(self) -> None:
        """The first byte of a request has come."""

    def head_ended(self, request: Request) -> None:
        """A request may be served; its body may still be coming."""

    def body_came(self, size: int) -> None:
        """So many bytes of a body have come."""

    def request_ended(self, request: Request) -> None:
        """A request has come whole."""


class RequestParser:
    """Reads the requests of one connection. `incoming` is the one that isn't whole yet."""

    def __init__(self, to: Parsed, limits: Limits) -> None:
        self._to = to
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self._in_head = False
        self._head_bytes = 0  # of a head that came in more than one read
        self._measure_head = False
        self.incoming: Request | None = None

    def feed(self, data: bytes) -> Refusal | None:
        """Read on; a refusal ends all reading."""
        limit = self._limits.header_bytes
        self._measure_head = self._head_bytes + len(data) > limit
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # We speak nothing else: the request is answered in HTTP/1.1 (RFC 9110 section 7.8).
            self._parser = httptools.HttpRequestParser(self)
            return self.feed(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            return self._refusal or Refusal(400, f"bad request: {error}")
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > limit + READ_BYTES:
                return Refusal(431, f"the header is over {limit} bytes")
        return None

    # What httptools calls.

    def on_message_begin(self) -> None:
        self.incoming = Request(self._to)
        self._in_head = True
        self._head_bytes = 0
        self._to.head_began()

    def on_url(self, url: bytes) -> None:
        assert self.incoming is not None
        self.incoming.target += url
        if len(self.incoming.target) > self._limits.url_bytes:
            self._refuse(414, f"the URL is over {self._limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and self.incoming is not None:  # trailers are read and dropped
            self.incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request = self.incoming
        assert request is not None
        self._in_head = False
        request.method = self._parser.get_method()
        version = self._parser.get_http_version()
        request.http11 = version == "1.1"
        request.keep_alive = self._parser.should_keep_alive()
        if not request.http11 and version != "1.0":
            self._refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        if self._measure_head and _size(request) > self._limits.header_bytes:
            self._refuse(431, f"the header is over {self._limits.header_bytes} bytes")
        if request.method == b"CONNECT":
            self._refuse(405, "CONNECT is not supported: this is no tunnel")
        self._check_fields(request)
        self._to.head_ended(request)

    def on_body(self, data: bytes) -> None:
        assert self.incoming is not None
        self._to.body_came(len(data))
        self.incoming.incoming.feed(data)

    def on_message_complete(self) -> None:
        request, self.incoming = self.incoming, None
        assert request is not None
        request.incoming.end()
        self._to.request_ended(request)

    def _check_fields(self, request: Request) -> None:
        hosts = 0
        for name, value in request.headers:
            if name == b"host":
                hosts += 1
            elif name == b"expect" and value.lower() == b"100-continue":
                request.expect_continue()
        if hosts > 1 or (hosts == 0 and request.http11):
            self._refuse(400, "bad request: one Host field is required")

    def _refuse(self, status: int, reason: str) -> None:
        """Stop the parser from inside one of its callbacks."""
        self._refusal = Refusal(status, reason)
        raise ValueError(reason)


def _size(request: Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
