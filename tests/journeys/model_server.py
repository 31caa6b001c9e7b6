"""An OpenAI-compatible model server whose answers, pace and faults are a test's to set.

It stands where `inference` would (`scripts/run --model URL`), so that a journey can look at exactly what the
model was given, hold an answer in the middle, or die.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "echo"
LONGEST_HOLD_S = 120.0


class Die:
    """A piece of an answer at which the server closes the connection without an end."""


Piece = str | threading.Event | Die
"""What an answer is made of: text, a gate that is waited for, or a sudden end."""

Answer = Callable[[dict[str, Any]], Sequence[Piece]]


def echo(request: dict[str, Any]) -> list[Piece]:
    """How many messages came, and the last one's text, word by word."""
    last = request["messages"][-1]["content"]
    text = last if isinstance(last, str) else " ".join(part.get("text", "") for part in last)
    return [f"{len(request['messages'])}", *(f" {word}" for word in text.split()[:8])]


@dataclass
class ModelServer:
    """One server: `requests` is every chat request as it came, `answer` makes the next answers."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer = echo

    @contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """Answer differently for a while."""
        before, self.answer = self.answer, answer
        try:
            yield
        finally:
            self.answer = before


@contextmanager
def model_server(address: str = "127.0.0.1") -> Iterator[ModelServer]:
    """A server on a free port of this machine's `address`, gone at the end."""
    server = ThreadingHTTPServer((address, 0), _Handler)
    server.daemon_threads = True
    model = ModelServer(f"http://{address}:{server.server_address[1]}")
    server.model = model  # type: ignore[attr-defined]  # the handler's only way to its server's state
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is its own."""

    def do_GET(self) -> None:
        answers: dict[str, object] = {
            "/health": {},
            "/info": {"model_id": MODEL, "max_input_tokens": 7168, "max_total_tokens": 8192},
            "/v1/models": {
                "object": "list",
                "data": [{"id": MODEL, "object": "model", "created": 1_760_000_000, "owned_by": "tests"}],
            },
        }
        path = self.path.partition("?")[0]
        self._json(200 if path in answers else 404, answers.get(path, {"error": "not found"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model: ModelServer = self.server.model  # type: ignore[attr-defined]
        model.requests.append(body)
        pieces = model.answer(body)
        try:
            if body.get("stream"):
                self._stream(pieces)
            else:
                self._whole(pieces)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _whole(self, pieces: Sequence[Piece]) -> None:
        text = "".join(self._text(pieces))
        if self.close_connection:
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._json(200, {**_envelope("chat.completion"), "choices": [choice], "usage": _usage(len(pieces))})

    def _stream(self, pieces: Sequence[Piece]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for text in self._text(pieces):
            self._event(_chunk({"role": "assistant", "content": text}, None))
        if self.close_connection:
            return
        self._event(_chunk({}, "stop"))
        self._event({**_envelope("chat.completion.chunk"), "choices": [], "usage": _usage(len(pieces))})
        self._frame(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _text(self, pieces: Sequence[Piece]) -> Iterator[str]:
        for piece in pieces:
            if isinstance(piece, str):
                yield piece
            elif isinstance(piece, Die):
                self.close_connection = True
                return
            else:
                piece.wait(LONGEST_HOLD_S)

    def _event(self, value: object) -> None:
        self._frame(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _frame(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _envelope(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_760_000_000, "model": MODEL}


def _chunk(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_envelope("chat.completion.chunk"), "choices": [choice]}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
