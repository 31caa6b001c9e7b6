"""Listening, and the end of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .connection import Connection, Handler
from .head import Clock
from .limits import Limits

SWEEP_S = 1.0


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
            self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def listen(self, host: str, port: int) -> None:
        """Accept connections; `OSError` where the address can't be had."""
        self._listener = await self.loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]
        self._empty.set()

    async def listen_unix(self, path: Path) -> None:
        """Accept connections of this user on a Unix socket."""
        self._listener = await self.loop.create_unix_server(lambda: Connection(self), path)
        path.chmod(0o600)  # noqa: ASYNC240  one system call
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
            self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)


async def serve(handler: Handler, host: str, port: int, *, limits: Limits | None = None) -> Server:
    """Serve `handler` on a TCP address; port 0 takes a free one, which `Server.port` tells."""
    server = Server(handler, limits or Limits())
    await server.listen(host, port)
    return server


async def serve_unix(handler: Handler, path: Path, *, limits: Limits | None = None) -> Server:
    """Serve `handler` on a Unix socket that only this user may open."""
    server = Server(handler, limits or Limits())
    await server.listen_unix(path)
    return server
