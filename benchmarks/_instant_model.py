"""A model server that costs next to nothing, and a load that costs little: around a measured relay.

Both are hand-written protocols that know one request and one answer, so that on the other core they never are
the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import orjson

MODEL = "instant"
CHUNK = b"data: %s\n\n" % orjson.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
    }
)
DONE = b"data: [DONE]\n\n"
_COMPLETION = orjson.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 60}}],
    }
)
_TOKEN = orjson.dumps({"access_token": "h.c.s", "token_type": "Bearer", "expires_in": 300})
_MODELS = orjson.dumps({"object": "list", "data": [{"id": MODEL}]})
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def request(path: str, stream: bool) -> bytes:
    """A chat request as a client sends it."""
    messages = [{"role": "system", "content": "Be brief. " * 20}, {"role": "user", "content": "Hello? " * 40}]
    body = orjson.dumps({"model": MODEL, "messages": messages, "temperature": 0.7, "stream": stream})
    key = "hdl_" + "0" * 32 + "_" + "s" * 43
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_ANSWERS = {b"POST /token": _whole(_TOKEN), b"GET /v1/models": _whole(_MODELS)}


class InstantModel(asyncio.Protocol):
    """Answers at once; a stream is `chunks` events, one each `pace_s`, every one in a write of its own."""

    _chunk, _end = _chunked(CHUNK), _chunked(DONE) + b"0\r\n\r\n"

    def __init__(self, chunks: int, pace_s: float) -> None:
        self._chunks, self._pace_s, self._received = chunks, pace_s, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not separator or len(body) < length:
            return
        self._received = b""
        known = _ANSWERS.get(head.partition(b" HTTP")[0])
        if known is None and b'"stream":true' in body:
            self._transport.write(_STREAM_HEAD)
            self._next(self._chunks)
        else:
            self._transport.write(known or _whole(_COMPLETION))

    def _next(self, left: int) -> None:
        if not left:
            self._transport.write(self._end)
            return
        self._transport.write(self._chunk)
        asyncio.get_running_loop().call_later(self._pace_s, self._next, left - 1)


class Caller(asyncio.Protocol):
    """Sends `request` again and again on one connection, until `more` says no."""

    def __init__(self, request: bytes, more: Callable[[], bool]) -> None:
        self._request, self._more = request, more
        self._tail, self._expected = b"", -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._expected < 0:
            head, separator, data = (self._tail + data).partition(b"\r\n\r\n")
            if not separator:
                self._tail = head
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(f"answered {head[:40]!r} {data[:200]!r}"))
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._expected, self._tail = int(length or 0), b""
        if self._expected:
            self._expected -= len(data)
            if not self._expected:
                self._ask()
            return
        self._tail = (self._tail + data)[-5:]
        if self._tail == b"0\r\n\r\n":
            self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the connection was closed"))

    def _ask(self) -> None:
        if self._more():
            self._tail, self._expected = b"", -1
            self._transport.write(self._request)
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()
