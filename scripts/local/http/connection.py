"""The server's end of one connection: requests in, answers out, in order (RFC 9112 section 9.3.2)."""

# ruff: noqa: D102  the callbacks are asyncio's
from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from .errors import BodyTooLarge
from .limits import HIGH_WATER_BYTES
from .parsing import Refusal, RequestParser
from .request import Request

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger(__name__)

Handler = Callable[[Request], "Awaitable[None] | None"]
RESET = struct.pack("ii", 1, 0)  # linger, for no time at all


class Connection(asyncio.Protocol):
    """Parses requests, hands them on one at a time, and refuses what RFC 9112 and the limits refuse."""

    def __init__(self, owner: Server) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._parser = RequestParser(self, owner.limits)
        self._transport: asyncio.Transport
        self._waiting: deque[Request | Refusal] = deque()
        self._current: Request | None = None  # the request that is being answered
        self._task: asyncio.Task[None] | None = None
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
        self._grant_time()
        self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._owner.closed(self)
        self.resume_writing()
        incoming = self._parser.incoming
        if incoming is not None:
            incoming.incoming.fail(ConnectionResetError("the client left in the middle of its body"))
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
        refusal = self._parser.feed(data)
        if refusal is not None:
            self._refuse(refusal)
        self._pump()

    # The parser's side.

    def head_began(self) -> None:
        """The whole head has to come in time."""
        self._grant_time()

    def head_ended(self, request: Request) -> None:
        """Serve it after those before it; read no further than a few requests ahead."""
        self._waiting.append(request)
        if len(self._waiting) > self._limits.pipelined and not self._crowded:
            self._crowded = True
            self.hold()

    def body_came(self, size: int) -> None:
        """A body that goes on coming has time to."""
        self._progress += size
        if self._progress >= self._limits.progress_bytes:
            self._grant_time()

    def _grant_time(self) -> None:
        self._progress = 0
        self.deadline = self._owner.loop.time() + self._limits.stall_s

    def request_ended(self, request: Request) -> None:
        """Nothing of it is missing; where it was answered before that, go on."""
        self.deadline = math.inf
        if not request.keep_alive:
            self._deaf = True
        if request.started and request is not self._current:
            self._finish(request)

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
            if self._parser.incoming is not None:
                self._grant_time()

    def answered(self, request: Request) -> None:
        """The answer is whole; go on once the request is, too."""
        if request is not self._current:
            return
        self._current = self._task = None
        request.incoming.drop()
        if request is self._parser.incoming:
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
            # Where a close would be a proper end, a reset is none.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()

    def expire(self) -> None:
        """The deadline has passed: the client stalls, or nothing more comes."""
        self.deadline = math.inf
        if self._transport.is_closing() or self._deaf:
            self._transport.abort()
        elif self._parser.incoming is None or self._parser.incoming.started:
            self._close()
        else:
            self._refuse(Refusal(408, f"nothing came for {self._limits.stall_s:g} s"))
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
        elif self._parser.incoming is None:
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
            if isinstance(item, Refusal):
                self._answer_refusal(item)
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
            if request.started:
                self.cut(request)
            else:
                request.keep_alive = False
                Refusal(413, str(error)).answer(request)
        except ConnectionResetError:
            self.cut(request)
        except Exception:  # as above, for a handler that is a task
            log.exception("a handler failed")
            self._fail(request)

    def _fail(self, request: Request) -> None:
        if request.started:
            self.cut(request)
        else:
            Refusal(500, "internal error").answer(request)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error after what came before it, and read no more."""
        if self._deaf:
            return
        incoming = self._parser.incoming
        self._deaf = self._refused = True
        self.deadline = math.inf
        if incoming is not None and (incoming is self._current or incoming in self._waiting):
            incoming.keep_alive = False
            incoming.incoming.fail(ConnectionResetError(refusal.reason))
            if incoming.started:
                self.cut(incoming)
                return
            if incoming is self._current:
                task, self._task = self._task, None
                refusal.answer(incoming)
                if task is not None:
                    task.cancel()
                return
            self._waiting.remove(incoming)
        self._waiting.append(refusal)

    def _answer_refusal(self, refusal: Refusal) -> None:
        self._current = last = Request(self)
        last.keep_alive = False
        refusal.answer(last)

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
