"""HTTP/1.1 (RFC 9112) for the runner: a strict server and a pooled client over httptools and uvloop.

    server = await serve(handler, "127.0.0.1", 0)
    client = Client()
    response = await client.request(b"GET", "127.0.0.1", server.port, b"/")
    text = await response.read(1_048_576)

A handler is a plain function of one `Request`. It answers at once, or later from any callback, or returns a
coroutine, which runs as a task that is cancelled when the client leaves.
"""

from __future__ import annotations

from .client import Client
from .errors import BadResponse, BodyTooLarge, ConnectFailed, HttpError, TimedOut
from .limits import Limits
from .request import ReplyStream, Request
from .response import ClientResponse
from .server import Server, bind, serve, serve_socket

__all__ = [
    "BadResponse",
    "BodyTooLarge",
    "Client",
    "ClientResponse",
    "ConnectFailed",
    "HttpError",
    "Limits",
    "ReplyStream",
    "Request",
    "Server",
    "TimedOut",
    "bind",
    "serve",
    "serve_socket",
]
