"""A server that behaves as its requests and its environment tell it: what the activator's tests start."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

SIGNS = Path(os.environ["SIGNS"])


def wait_for(sign: str) -> None:
    """Until a test has put up a sign."""
    while not (SIGNS / sign).exists():
        time.sleep(0.005)


class Handler(BaseHTTPRequestHandler):
    """One path a behaviour."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Do as the path says."""
        getattr(self, "serve_" + urlsplit(self.path).path.strip("/"))()

    do_POST = do_GET  # noqa: N815  the base class looks for it

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, text: str, status: int = 200) -> None:
        """Answer whole."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def piece(self, text: str) -> None:
        """Send a chunk now."""
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def begin(self) -> None:
        """Begin a stream."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def serve_pid(self) -> None:
        """Who answers."""
        self.answer(str(os.getpid()))

    def serve_env(self) -> None:
        """The environment."""
        self.answer(json.dumps(dict(os.environ)))

    def serve_echo(self) -> None:
        """What came."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer(json.dumps({"target": self.path, "headers": headers, "body": body}))

    def serve_ready(self) -> None:
        """Ready when the sign is up."""
        self.answer("", 200 if (SIGNS / "ready").exists() else 503)

    def serve_alive(self) -> None:
        """Alive until the sign is up."""
        self.answer("", 503 if (SIGNS / "sick").exists() else 200)

    def serve_slow(self) -> None:
        """Wait for the sign `go`."""
        (SIGNS / f"in-{os.getpid()}-{time.monotonic_ns()}").touch()
        wait_for("go")
        self.answer(str(os.getpid()))

    def serve_stream(self) -> None:
        """One piece, the sign, another."""
        self.begin()
        self.piece("one")
        wait_for("go")
        self.piece("two")
        self.piece("")

    def serve_endless(self) -> None:
        """Until the client leaves."""
        self.begin()
        try:
            while True:
                self.piece("more")
                time.sleep(0.005)
        except OSError:
            (SIGNS / "left").touch()

    def serve_event(self) -> None:
        """Acknowledge an event."""
        (SIGNS / f"event-{self.headers['ce-id']}").touch()
        self.send_response(204)
        self.end_headers()

    def serve_refuse(self) -> None:
        """Refuse an event for good."""
        self.answer("not this one", 422)

    def serve_die(self) -> None:
        """Die in the middle of an answer."""
        self.begin()
        self.piece("one")
        os._exit(3)


def leave(*_: object) -> None:
    """Finish what is being answered, then go."""
    (SIGNS / "asked-to-stop").touch()
    Thread(target=server.shutdown).start()


if (SIGNS / "broken").exists():
    sys.stdout.write("it is broken\n")
    sys.exit(7)
if "HOLD_START" in os.environ:
    wait_for("start")
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.daemon_threads = False
if "STUBBORN" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, leave)
sys.stdout.write("listening\n")
sys.stdout.flush()
server.serve_forever(poll_interval=0.01)
server.server_close()
