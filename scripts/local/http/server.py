"""Listening, and the end of it."""

from __future__ import annotations

import asyncio
import socket

from .connection import Connection, Handler
from .head import Clock
from .limits import Limits

BACKLOG = 1024


class Server:
    """A listener and its connections."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler = handler
        self.limits = limits
        self.clock = Clock()
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self.port = 0
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._sweeper: asyncio.TimerHandle | None = None

    def opened(self, connection: Connection) -> None:
        """Watch a connection's deadlines from now on."""
        self._connections.add(connection)
        self._empty.clear()
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def listen(self, listening: socket.socket) -> None:
        """Accept connections of a socket that is bound."""
        self._listener = await self.loop.create_server(
            lambda: Connection(self), sock=listening, backlog=BACKLOG
        )
        self.port = listening.getsockname()[1]
        self._empty.set()

    async def close(self, grace_s: float = 0.0) -> None:
        """Take nothing new, let what is being answered finish within `grace_s`, then close the rest."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.shut()
        try:
            await asyncio.wait_for(self._empty.wait(), grace_s)
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await self._empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        """One timer for all deadlines: a timer a request would cost more than the second of slack."""
        self._sweeper = None
        now = self.loop.time()
        for connection in tuple(self._connections):
            if connection.deadline <= now:
                connection.expire()
        if self._connections:
            self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)


def bind(host: str, port: int) -> socket.socket:
    """A socket on a TCP address, port 0 for a free one; `OSError` where the address can't be had.

    It takes connections from now on, which wait for `serve_socket`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def serve(handler: Handler, host: str, port: int, *, limits: Limits | None = None) -> Server:
    """Serve `handler` on a TCP address; port 0 takes a free one, which `Server.port` tells."""
    return await serve_socket(handler, bind(host, port), limits=limits)


async def serve_socket(handler: Handler, listening: socket.socket, *, limits: Limits | None = None) -> Server:
    """Serve `handler` on a socket that `bind` has made."""
    server = Server(handler, limits or Limits())
    await server.listen(listening)
    return server
