"""The server's end of one connection: requests in, answers out, in order (RFC 9112 section 9.3.2)."""

# ruff: noqa: D102, S101  the callbacks are asyncio's and httptools'; asserts state the order they come in
from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import httptools

from .errors import BodyTooLarge
from .head import Clock
from .limits import HIGH_WATER_BYTES, Limits
from .request import Request

log = logging.getLogger(__name__)

Handler = Callable[[Request], "Awaitable[None] | None"]
READ_BYTES = 262_144  # what one read of uvloop brings at most

RESET = struct.pack("ii", 1, 0)  # linger, for no time at all

PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]


class Owner(Protocol):
    """The server that a connection belongs to."""

    handler: Handler
    limits: Limits
    clock: Clock
    loop: asyncio.AbstractEventLoop
    closing: bool

    def opened(self, connection: Connection) -> None:
        """A connection has come."""

    def closed(self, connection: Connection) -> None:
        """It has gone."""


class Connection(asyncio.Protocol):
    """Parses requests, hands them on one at a time, and refuses what RFC 9112 and the limits refuse."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[Request | tuple[int, str]] = deque()
        self._incoming: Request | None = None  # the request whose bytes are being parsed
        self._current: Request | None = None  # the request that is being answered
        self._task: asyncio.Task[None] | None = None
        self._refusal: tuple[int, str] | None = None
        self._in_head = False
        self._head_bytes = 0  # of a head that came in more than one read
        self._check_head = False
        self._progress = 0
        self._holds = 0
        self._crowded = False
        self._pumping = False
        self._deaf = False  # nothing more is read from this client
        self._refused = False  # it may still be sending what nobody reads
        self._writable: asyncio.Future[None] | None = None
        self.peer = "127.0.0.1"
        self.deadline = math.inf
        """When the server's sweep calls `expire` (the loop's clock, seconds)."""

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        address = transport.get_extra_info("peername")
        if isinstance(address, tuple):
            self.peer = str(address[0])
        self.deadline = self._owner.loop.time() + self._limits.stall_s
        self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._owner.closed(self)
        self.resume_writing()
        if self._incoming is not None:
            self._incoming.incoming.fail(ConnectionResetError("the client left in the middle of its body"))
        current, self._current = self._current, None
        self._waiting.clear()
        if current is not None:
            current.lost()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = self._owner.loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        limit = self._limits.header_bytes
        self._check_head = self._head_bytes + len(data) > limit
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # We speak nothing else: the request is answered in HTTP/1.1 (RFC 9110 section 7.8).
            self._parser = httptools.HttpRequestParser(self)
            rest = data[upgrade.args[0] :]
            if rest:
                self.data_received(rest)
                return
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or (400, f"bad request: {error}"))
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > limit + READ_BYTES:
                self._refuse((431, f"the header is over {limit} bytes"))
        self._pump()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._incoming = Request(self)
        self._in_head = True
        self._head_bytes = 0
        self.deadline = self._owner.loop.time() + self._limits.stall_s

    def on_url(self, url: bytes) -> None:
        assert self._incoming is not None
        self._incoming.target += url
        if len(self._incoming.target) > self._limits.url_bytes:
            self._reject(414, f"the URL is over {self._limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and self._incoming is not None:  # trailers are read and dropped
            self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request = self._incoming
        assert request is not None
        self._in_head = False
        request.method = self._parser.get_method()
        version = self._parser.get_http_version()
        request.http11 = version == "1.1"
        request.keep_alive = self._parser.should_keep_alive()
        if not request.http11 and version != "1.0":
            self._reject(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        if self._check_head and _size(request) > self._limits.header_bytes:
            self._reject(431, f"the header is over {self._limits.header_bytes} bytes")
        if request.method == b"CONNECT":
            self._reject(405, "CONNECT is not supported: this is no tunnel")
        self._check_fields(request)
        self._waiting.append(request)
        if len(self._waiting) > self._limits.pipelined and not self._crowded:
            self._crowded = True
            self.hold()

    def on_body(self, data: bytes) -> None:
        assert self._incoming is not None
        self._progress += len(data)
        if self._progress >= self._limits.progress_bytes:
            self._progress = 0
            self.deadline = self._owner.loop.time() + self._limits.stall_s
        self._incoming.incoming.feed(data)

    def on_message_complete(self) -> None:
        request, self._incoming = self._incoming, None
        assert request is not None
        self.deadline = math.inf
        request.incoming.end()
        if not request.keep_alive:
            self._deaf = True
        if request.started and request is not self._current:
            self._finish(request)  # its answer went out before its body was whole

    def _check_fields(self, request: Request) -> None:
        hosts = 0
        for name, value in request.headers:
            if name == b"host":
                hosts += 1
            elif name == b"expect" and value.lower() == b"100-continue":
                request.expect_continue()
        if hosts > 1 or (hosts == 0 and request.http11):
            self._reject(400, "bad request: one Host field is required")

    def _reject(self, status: int, reason: str) -> None:
        """Stop the parser from inside one of its callbacks."""
        self._refusal = (status, reason)
        raise ValueError(reason)

    # Answers.

    def date_line(self) -> bytes:
        """The `Date` field."""
        return self._owner.clock.date_line()

    def send(self, data: bytes) -> None:
        """Write bytes of the current answer."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def hold(self) -> None:
        """One more reason not to read."""
        self._holds += 1
        if self._holds == 1:
            self._transport.pause_reading()
            self.deadline = math.inf

    def release(self) -> None:
        """One reason fewer."""
        self._holds -= 1
        if self._holds == 0 and not self._transport.is_closing():
            self._transport.resume_reading()
            if self._incoming is not None:
                self.deadline = self._owner.loop.time() + self._limits.stall_s

    def answered(self, request: Request) -> None:
        """The answer is whole; go on once the request is, too."""
        if request is not self._current:
            return
        self._current = self._task = None
        request.incoming.drop()
        if request is self._incoming:
            if request.keep_alive and not self._owner.closing:
                self.deadline = self._owner.loop.time() + self._limits.linger_s
                return
            self._linger()
            return
        self._finish(request)

    def cut(self, request: Request) -> None:
        """Close so that the client can't take the answer for whole."""
        if request is not self._current:
            return
        self._deaf = True
        if request.http11:
            self._transport.close()  # no last chunk, or too few bytes: the client sees the cut
        else:
            self._reset()  # where a close would be a proper end

    def _reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def expire(self) -> None:
        """The deadline has passed: the client stalls, or nothing more comes."""
        self.deadline = math.inf
        if self._transport.is_closing() or self._deaf:
            self._transport.abort()
        elif self._incoming is None or self._incoming.started:
            self._close()
        else:
            self._refuse((408, f"nothing came for {self._limits.stall_s:g} s"))
            self._pump()

    def shut(self) -> None:
        """Close as soon as what is being answered has been."""
        if self._current is None and not self._waiting:
            self._close()
        elif self._current is not None:
            self._current.keep_alive = False

    def abort(self) -> None:
        """Close at once, whatever is going on."""
        self._transport.abort()

    def _finish(self, request: Request) -> None:
        if request.keep_alive and self._waiting:
            self._pump()
        elif self._refused:
            self._linger()
        elif not request.keep_alive or self._owner.closing:
            self._close()
        elif self._incoming is None:
            self.deadline = self._owner.loop.time() + self._limits.idle_s

    def _pump(self) -> None:
        """Hand on the requests that wait, each after the one before has been answered."""
        if self._pumping:
            return
        self._pumping = True
        while self._waiting and self._current is None and not self._transport.is_closing():
            item = self._waiting.popleft()
            if self._crowded and len(self._waiting) <= self._limits.pipelined:
                self._crowded = False
                self.release()
            if isinstance(item, tuple):
                self._answer_refusal(*item)
            else:
                self._current = item
                self._serve(item)
        self._pumping = False

    def _serve(self, request: Request) -> None:
        try:
            result = self._owner.handler(request)
        except Exception:  # the one place that renders what a handler doesn't
            log.exception("a handler failed")
            self._fail(request)
            return
        if result is not None:
            self._task = self._owner.loop.create_task(self._watch(request, result))

    async def _watch(self, request: Request, work: Awaitable[None]) -> None:
        try:
            await work
        except BodyTooLarge as error:
            if not request.started:
                request.keep_alive = False
                request.reply(413, PLAIN, f"{error}\n".encode())
            else:
                self.cut(request)
        except ConnectionResetError:
            self.cut(request)
        except Exception:  # as above, for a handler that is a task
            log.exception("a handler failed")
            self._fail(request)

    def _fail(self, request: Request) -> None:
        if request.started:
            self.cut(request)
        else:
            request.reply(500, PLAIN, b"internal error\n")

    def _refuse(self, refusal: tuple[int, str]) -> None:
        """Answer with an error after what came before it, and read no more."""
        if self._deaf:
            return
        incoming, self._incoming = self._incoming, None
        self._deaf = self._refused = True
        self.deadline = math.inf
        if incoming is not None and (incoming is self._current or incoming in self._waiting):
            incoming.keep_alive = False
            incoming.incoming.fail(ConnectionResetError(refusal[1]))
            if incoming.started:
                self.cut(incoming)
                return
            if incoming is self._current:
                task, self._task = self._task, None
                incoming.reply(refusal[0], PLAIN, f"{refusal[1]}\n".encode())
                if task is not None:
                    task.cancel()
                return
            self._waiting.remove(incoming)
        self._waiting.append(refusal)

    def _answer_refusal(self, status: int, reason: str) -> None:
        last = Request(self)
        last.keep_alive = False
        self._current = last
        last.reply(status, PLAIN, f"{reason}\n".encode())

    def _linger(self) -> None:
        """Say that no more comes, and read what the client still sends: a reset would lose the answer."""
        self._deaf = True
        self.deadline = self._owner.loop.time() + self._limits.linger_s
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        if self._transport.is_closing():
            return
        self._deaf = True
        self.deadline = self._owner.loop.time() + self._limits.linger_s
        self._transport.close()


def _size(request: Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
