"""The client's end of one connection, and an answer as its caller sees it."""

# ruff: noqa: D102, S101  the callbacks are asyncio's and httptools'; asserts state the order they come in
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from .body import Body
from .errors import BadResponse, HttpError, TimedOut
from .head import Header, find
from .limits import HIGH_WATER_BYTES

MAX_HEAD_BYTES = 262_144


class ClientResponse:
    """An answer whose head has arrived. Read it to its end, or `close` it."""

    __slots__ = ("_connection", "_on_end", "body", "headers", "status")

    def __init__(self, connection: ClientConnection, status: int, headers: list[Header]) -> None:
        self._connection = connection
        self._on_end: Callable[[], None] | None = None
        self.body = Body(connection)
        self.status = status
        self.headers = headers

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, its name in lower case."""
        return find(self.headers, name)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once, when the answer has arrived whole or never will (at once if that is so)."""
        if self.body.ended:
            callback()
        else:
            self._on_end = callback

    def end(self, error: HttpError | None = None) -> None:
        """The answer is whole, or `error` says why it never will be."""
        if error is None:
            self.body.end()
        else:
            self.body.fail(error)
        callback, self._on_end = self._on_end, None
        if callback is not None:
            callback()

    def body_now(self) -> bytes | None:
        """The whole body if it has arrived already, else None. Takes it."""
        return self.body.whole()

    async def read(self, max_bytes: int) -> bytes:
        """The whole body; `BodyTooLarge`, `BadResponse` where it was cut off, `TimedOut`."""
        try:
            return await self.body.read(max_bytes)
        finally:
            self.close()

    def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives; the peer is held back while nobody reads. Errors as `read`."""
        return self.body.chunks()

    def close(self) -> None:
        """Let go: a connection whose answer isn't whole is closed, which tells the peer to stop."""
        if not self.body.complete:
            self._connection.abort()


class ClientConnection(asyncio.Protocol):
    """One exchange after the other with one address."""

    def __init__(self, address: str, on_idle: Callable[[ClientConnection], None]) -> None:
        self.address = address
        self.idle_since = 0.0
        self.closed = False
        self.answered_any = False
        """Whether a byte of the current answer has come."""
        self._on_idle = on_idle
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[ClientResponse] | None = None
        self._response: ClientResponse | None = None
        self._headers: list[Header] = []
        self._in_head = True
        self._head_bytes = 0
        self._bodiless = False
        self._ends_early = False
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None

    def exchange(
        self, head: bytes, body: bytes, *, bodiless: bool, timeout_s: float | None
    ) -> asyncio.Future[ClientResponse]:
        """Send a request; the future is the answer's head. `bodiless`: it answers a HEAD."""
        loop = asyncio.get_running_loop()
        self._head = loop.create_future()
        self._bodiless = bodiless
        self.answered_any = False
        if timeout_s is not None:
            self._timer = loop.call_later(timeout_s, self._expire, timeout_s)
        self._transport.write(head + body if len(body) < HIGH_WATER_BYTES else head)
        if len(body) >= HIGH_WATER_BYTES:
            self._transport.write(body)
        return self._head

    def send_stream(self, chunks: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send the request's body beside the answer's arrival."""
        self._sending = asyncio.ensure_future(self._send(chunks, chunked=chunked))

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
        self._lost(BadResponse(f"the exchange with {self.address} was given up"))

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if (
            self._response is not None
            and not self._response.body.complete
            and exc is None
            and self._until_close()
        ):
            self._complete()
        self._lost(BadResponse(f"{self.address} closed the connection before its answer was whole"))

    def data_received(self, data: bytes) -> None:
        if self._head is None and self._response is None:
            self.abort()  # bytes that nobody asked for
            return
        self.answered_any = True
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._transport.abort()
            self._lost(BadResponse(f"{self.address} answered what is not HTTP/1.1: {error}"))
            return
        if self._ends_early:
            self.on_message_complete()
            self._parser = httptools.HttpResponseParser(self)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._transport.abort()
            self._lost(BadResponse(f"the header of {self.address}'s answer is over {MAX_HEAD_BYTES} bytes"))

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def hold(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        if status < 200:
            return  # an interim answer (RFC 9110 section 15.2): the real one follows
        self._in_head = False
        self._response = ClientResponse(self, status, headers)
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_result(self._response)
        # The parser can't know that the answer to a HEAD has no body, whatever its length says.
        self._ends_early = self._bodiless

    def on_body(self, data: bytes) -> None:
        if self._bodiless:
            self._transport.close()
        elif self._response is not None:
            self._response.body.feed(data)

    def on_message_complete(self) -> None:
        if self._in_head:
            return
        self._ends_early = False
        reusable = self._parser.should_keep_alive() and (self._sending is None or self._sending.done())
        self._in_head = True
        self._head_bytes = 0
        if reusable and not self._transport.is_closing():
            self._on_idle(self)
        else:
            self._transport.close()
        self._complete()

    def _until_close(self) -> bool:
        """Whether the close is what ends this answer (RFC 9112 section 6.3, rule 8)."""
        assert self._response is not None
        response = self._response
        return response.header(b"content-length") is None and response.header(b"transfer-encoding") is None

    def _complete(self) -> None:
        response, self._response = self._response, None
        self._settle()
        if response is not None:
            response.end()

    def _lost(self, error: HttpError) -> None:
        self.closed = True
        self.resume_writing()
        self._settle()
        head, self._head = self._head, None
        response, self._response = self._response, None
        if head is not None and not head.done():
            head.set_exception(error)
        if response is not None:
            response.end(error)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()

    def _expire(self, timeout_s: float) -> None:
        self._transport.abort()
        self._lost(TimedOut(f"{self.address} didn't answer within {timeout_s:g} s"))

    async def _send(self, chunks: AsyncIterator[bytes], *, chunked: bool) -> None:
        try:
            async for chunk in chunks:
                if chunk and not self._transport.is_closing():
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    if self._writable is not None:
                        await self._writable
            if chunked and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:  # noqa: BLE001  whatever the body's source raises belongs to the waiting caller
            self._transport.abort()
            head = self._head
            if head is not None and not head.done():
                head.set_exception(error)
            self._sending = None
            self._lost(BadResponse(f"the request to {self.address} could not be sent whole"))
