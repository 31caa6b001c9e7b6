"""uvicorn's HTTP/1.1 protocol with the limits that it lacks.

| what | limit | answer |
|---|---|---|
| the target | 8 KB | 414 |
| the header | 32 KB | 431 |
| the header, complete | 10 s | 408 (or closed in silence, where not a byte came) |
| the body, a pause in it, or under 1 KB/s on the average | 10 s | 408 |
| an answer that nobody reads | 60 s | closed |
| the rest of a body that was answered before it had come | 64 MB | closed |
| an idle connection | 75 s | closed |
| two `Host` fields, or none in HTTP/1.1; everything that llhttp calls malformed | | 400 |

The body's length is the application's matter, because its answer (413) has the surface's form. What is
refused
here has not reached the application: its form is `application/problem+json`, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions._runtime.errors import BadRequest, HeadersTooLarge, Problem, RequestTimeout, UriTooLong
from functions._runtime.problems import PROBLEM_JSON, problem_document
from functions._runtime.serving.hosting import hosted

TARGET_LIMIT_BYTES = 8 * 1024
HEADER_LIMIT_BYTES = 32 * 1024
STALL_S = 10.0
LEAST_BODY_BYTES_PER_S = 1024
UNREAD_ANSWER_S = 60.0
KEEP_ALIVE_S = 75
WRITE_BUFFER_BYTES = 64 * 1024
LINGER_S = 2.0
DISCARDED_LIMIT_BYTES = 64 * 1024 * 1024


class _Refused(Exception):
    """The parser's callbacks stop the parser with this."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A single timer looks after all its deadlines, so that a request costs no timer."""

    stall_s = STALL_S
    unread_answer_s = UNREAD_ANSWER_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = hosted().application
        self.timeout_keep_alive = KEEP_ALIVE_S
        self.ws_protocol_class = None
        self.access_log = False  # the application writes its own
        self._is_deaf = False
        self._messages_begun = 0
        self._is_in_head = False
        self._head_bytes = 0
        self._hosts = 0
        self._body_bytes = 0
        self._body_began = 0.0
        self._due: float | None = None
        self._unread_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first header is due."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # The kernel's own buffer grows to megabytes for a slow reader, and holds nothing back until then.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WRITE_BUFFER_BYTES)
        self._due = self.loop.time() + self.stall_s
        self._timer = self.loop.call_later(self.stall_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and refuse what it or a limit refuses."""
        if self._is_deaf:
            return
        begun = self._messages_begun
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is offered to change to (RFC 9110, 7.8): the request is answered, and is the last one.
            self._is_deaf = True
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(
                cause.problem if isinstance(cause, _Refused) else BadRequest("This is no HTTP/1.1 request.")
            )
        else:
            if self._is_in_head and self._messages_begun == begun:
                # All of `data` is of a header, and the parser keeps an unfinished field to itself.
                self._head_bytes += len(data)
                if self._head_bytes > HEADER_LIMIT_BYTES:
                    self._refuse(_header_too_large())

    def on_message_begin(self) -> None:
        """A request's first byte: the rest of its header is due."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._is_in_head = True
        self._messages_begun += 1
        self._head_bytes = self._hosts = 0
        self._due = self.loop.time() + self.stall_s

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        super().on_url(url)
        if len(self.url) > TARGET_LIMIT_BYTES:
            raise _Refused(UriTooLong(f"The target is longer than {TARGET_LIMIT_BYTES} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the header."""
        super().on_header(name, value)
        if self.headers[-1][0] == b"host":
            self._hosts += 1

    def on_headers_complete(self) -> None:
        """The header is there: check it as a whole, and let the application begin."""
        if sum(len(name) + len(value) for name, value in self.headers) > HEADER_LIMIT_BYTES:
            raise _Refused(_header_too_large())
        if self._hosts > 1 or (self._hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise _Refused(BadRequest("A request has exactly one Host field (RFC 9112, 3.2)."))
        self._is_in_head = False
        self._body_bytes = 0
        self._body_began = self.loop.time()
        self._due = self._body_began + self.stall_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        super().on_body(body)
        self._body_bytes += len(body)
        if self.cycle.response_complete and self._body_bytes > DISCARDED_LIMIT_BYTES:
            self.transport.abort()
        earned_s = self._body_bytes / LEAST_BODY_BYTES_PER_S
        self._due = min(self.loop.time(), self._body_began + earned_s) + self.stall_s

    def on_message_complete(self) -> None:
        """The request is there as a whole: nothing is due."""
        super().on_message_complete()
        self._due = None

    def pause_writing(self) -> None:
        """The client doesn't read: whoever sends is held back by the flow control."""
        super().pause_writing()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._unread_since = None

    def _look(self) -> None:
        now = self.loop.time()
        self._timer = None
        if self._unread_since is not None and now >= self._unread_since + self.unread_answer_s:
            self.transport.abort()
            return
        if self._due is not None and now >= self._due:
            if self._is_served() and (self.flow.read_paused or not self.cycle.more_body):
                # We don't read, or the next request has begun behind one in progress: not the client's fault.
                self._due = now + self.stall_s
            else:
                self._stalled()
                return
        wake = now + self.stall_s if self._due is None else min(self._due, now + self.stall_s)
        self._timer = self.loop.call_at(wake, self._look)

    def _stalled(self) -> None:
        if self._messages_begun == 0:
            self.transport.close()
        else:
            self._refuse(RequestTimeout(f"The rest of the request didn't come within {self.stall_s:.0f} s."))

    def _is_served(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, problem: Problem) -> None:
        """Answer with `problem` if an answer can still be given, and close."""
        self._is_deaf = True
        self._due = None
        if self._is_served():
            if not self.cycle.more_body:
                self.cycle.keep_alive = (
                    False  # the answer in progress is whole; what came behind it gets none
                )
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(_written(problem))
        # Closing while the client still sends would reset the connection, and the answer might be lost
        # with it (RFC 9112, 9.6): so only our half is closed, and what comes is thrown away for a while.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)


def _written(problem: Problem) -> bytes:
    body = problem_document(problem, f"req_{random.getrandbits(128):032x}")
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}\r\ncontent-type: {PROBLEM_JSON}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _header_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The header is longer than {HEADER_LIMIT_BYTES} bytes.")
