"""One request as a handler sees it, and the two ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from .body import Body, Flow
from .errors import BodyTooLarge
from .head import Header, Headers, field_lines, find, status_line

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange(Flow, Protocol):
    """The connection that a request came on, as far as the request needs it."""

    @property
    def peer(self) -> str:
        """The client's address."""

    def date_line(self) -> bytes:
        """The `Date` field."""

    def send(self, data: bytes) -> None:
        """Write bytes of the current answer."""

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""

    def answered(self, request: Request) -> None:
        """The answer is whole; the next request may be served."""

    def cut(self, request: Request) -> None:
        """Close the connection so that the client can't take the answer for whole."""


class Request:
    """A request whose head has arrived. Names of `headers` are in lower case; `target` is as it was sent."""

    __slots__ = (
        "_body", "_exchange", "_expects", "_gone", "disconnected", "headers", "http11", "keep_alive",
        "method", "started", "target",
    )  # fmt: skip

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._body = Body(exchange)
        self._gone: list[Callable[[], None]] | None = None
        self._expects = False
        self.method = b""
        self.target = b""
        self.headers: list[Header] = []
        self.http11 = True
        self.keep_alive = True
        self.started = False
        """Whether an answer has begun."""
        self.disconnected = False
        """Whether the client left before its answer was whole."""

    @property
    def peer(self) -> str:
        """The client's address, `127.0.0.1` for one on a Unix socket."""
        return self._exchange.peer

    @property
    def incoming(self) -> Body:
        """The body as its parser fills it."""
        return self._body

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, its name in lower case."""
        return find(self.headers, name)

    def expect_continue(self) -> None:
        """Remember that the client waits for a word before it sends its body (RFC 9110 section 10.1.1)."""
        self._expects = True

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call back when the client leaves before its answer is whole (at once if it has left)."""
        if self.disconnected:
            callback()
        elif self._gone is None:
            self._gone = [callback]
        else:
            self._gone.append(callback)

    def lost(self) -> None:
        """The client has left."""
        self.disconnected = True
        for callback in self._gone or ():
            callback()

    def body_now(self) -> bytes | None:
        """The whole body if it has arrived already (a small one has, as a rule), else None. Takes it."""
        return self._body.whole()

    async def body(self, max_bytes: int) -> bytes:
        """The whole body. `BodyTooLarge` past `max_bytes`, before it is read where its length is told."""
        whole = self._body.whole()
        if whole is None:
            length = self.header(b"content-length")
            if length is not None and int(length) > max_bytes:
                raise BodyTooLarge(max_bytes)
            self._continue()
            return await self._body.read(max_bytes)
        if len(whole) > max_bytes:
            raise BodyTooLarge(max_bytes)
        return whole

    def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives; the client is held back while nobody reads."""
        self._continue()
        return self._body.chunks()

    def reply(self, status: int, headers: Headers = (), body: bytes = b"", *, dated: bool = False) -> None:
        """Answer at once and whole; `Content-Length`, `Connection` and, unless `dated`, `Date` are added."""
        if self.started or self.disconnected:
            return
        date = b"" if dated else self._exchange.date_line()
        length = b"" if status in (204, 304) else b"content-length: %d\r\n" % len(body)
        head = b"".join((status_line(status), date, length, field_lines(headers), self._connection()))
        self.started = True
        self._exchange.send(head if self._bodiless(status) else head + body)
        self._exchange.answered(self)

    def start(self, status: int, headers: Headers) -> ReplyStream:
        """Begin an answer of unknown length; a `content-length` among the headers is held to."""
        fields = list(headers)
        length = find(fields, b"content-length")
        chunked = length is None and self.http11
        if length is None and not self.http11:
            self.keep_alive = False  # the close is what ends the body
        framing = b"transfer-encoding: chunked\r\n" if chunked and not self._bodiless(status) else b""
        head = b"".join((status_line(status), field_lines(fields), framing, self._connection()))
        self.started = True
        self._exchange.send(head)
        remaining = int(length) if length is not None else None
        if self._bodiless(status):
            return ReplyStream(self, self._exchange, chunked=False, remaining=None, silent=True)
        return ReplyStream(self, self._exchange, chunked=chunked, remaining=remaining, silent=False)

    def _connection(self) -> bytes:
        if not self.keep_alive:
            return b"connection: close\r\n\r\n"
        return b"\r\n" if self.http11 else b"connection: keep-alive\r\n\r\n"

    def _bodiless(self, status: int) -> bool:
        return self.method == b"HEAD" or status in (204, 304)

    def _continue(self) -> None:
        if self._expects and not self.started:
            self._expects = False
            self._exchange.send(CONTINUE)


class ReplyStream:
    """The rest of an answer that has begun."""

    __slots__ = ("_chunked", "_exchange", "_remaining", "_request", "_silent")

    def __init__(
        self, request: Request, exchange: Exchange, *, chunked: bool, remaining: int | None, silent: bool
    ) -> None:
        self._request = request
        self._exchange = exchange
        self._chunked = chunked
        self._remaining = remaining
        self._silent = silent

    async def write(self, data: bytes) -> None:
        """Send a piece at once; waits while the client is more than 64 KB behind."""
        if not data or self._silent or self._request.disconnected:
            return
        if self._remaining is not None:
            self._remaining -= len(data)
            if self._remaining < 0:
                self.abort()
                return
        self._exchange.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._exchange.drained()

    def end(self) -> None:
        """Say that the answer is whole; one that is shorter than its `content-length` is cut instead."""
        if self._remaining:
            self.abort()
            return
        if self._chunked:
            self._exchange.send(b"0\r\n\r\n")
        self._exchange.answered(self._request)

    def abort(self) -> None:
        """Close without a proper end, so that nobody takes the part for the whole."""
        self._exchange.cut(self._request)
