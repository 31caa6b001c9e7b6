"""HTTP byte by byte, as no client would send it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from scripts.local.http import Limits, Request, Server, serve

Handler = Callable[[Request], object]
PATIENCE_S = 5.0


@asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None) -> AsyncIterator[Server]:
    """A server on a free port."""
    server = await serve(handler, "127.0.0.1", 0, limits=limits)  # type: ignore[arg-type]  # any handler
    try:
        yield server
    finally:
        await server.close()


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> bytes:
        """The next line."""
        return await asyncio.wait_for(self.reader.readline(), PATIENCE_S)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S)

    async def until(self, mark: bytes) -> bytes:
        """All that comes up to `mark`."""
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE_S)

    def close(self) -> None:
        """Leave."""
        self.writer.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection to a server here."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield wire
    finally:
        wire.close()


async def said(server: Server, data: bytes) -> bytes:
    """What a server says to `data` before it closes; the client asks it to."""
    async with connected(server.port) as wire:
        await wire.send(data)
        return await wire.rest()


def status(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1])
