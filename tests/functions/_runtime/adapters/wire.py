"""The network between a store's client and its server, to be cut, held or watched at any point.

A `Wire` listens on loopback and passes bytes on. What the client sends is looked at message by message (a
driver writes each in one go); a test says at which of them what should go wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 20

Mishap = Callable[[bytes], bool]
"""Whether it strikes at this message."""


def never(_: bytes) -> bool:
    """No mishap."""
    return False


class Wire:
    """The way to one server.

    Attributes:
        lose_question: at the first message for which it holds all connections are cut, and the server hears
            nothing of it.
        lose_answer: at the first message for which it holds the server hears it and answers; the answer is
            lost, and all connections are cut.
        on_cut: called before the connections are cut.
        open, most_open: connections now, and at most at once.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self.server = (parts.hostname, parts.port)
        self._url = url
        self._port = 0
        self._links: set[asyncio.Task[None]] = set()
        self.passing = asyncio.Event()
        self.passing.set()
        self.lose_question: Mishap = never
        self.lose_answer: Mishap = never
        self.on_cut: Callable[[], None] = lambda: None
        self.open = self.most_open = 0

    @property
    def url(self) -> str:
        """The store's address by this way."""
        return self._url.replace(f":{self.server[1]}/", f":{self._port}/")

    def hold(self) -> None:
        """Let nothing through, and tell nobody."""
        self.passing.clear()

    def release(self) -> None:
        """Let through what has been held, and the rest."""
        self.passing.set()

    def cut(self) -> None:
        """End every connection that there is."""
        self.on_cut()
        for link in self._links:
            link.cancel()

    async def serve(self) -> asyncio.Server:
        """Begin to listen."""
        listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = listening.sockets[0].getsockname()[1]
        return listening

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._pass(reader, writer))
        self._links.add(link)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        link.add_done_callback(self._ended)

    def _ended(self, link: asyncio.Task[None]) -> None:
        self._links.discard(link)
        self.open -= 1

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        with suppress(OSError):
            try:
                answers, away = await asyncio.open_connection(*self.server)
                ends.append(away)
                link = _Link(self)
                ways = [
                    asyncio.create_task(link.ask(reader, away)),
                    asyncio.create_task(link.answer(answers, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                for end in ends:
                    end.transport.abort()


class _Link:
    """One connection: what is asked on it and what is answered."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loses_answer = False

    async def ask(self, reader: asyncio.StreamReader, away: asyncio.StreamWriter) -> None:
        wire = self._wire
        while message := await reader.read(CHUNK_BYTES):
            await wire.passing.wait()
            if wire.lose_question(message):
                wire.lose_question = never
                wire.cut()
                return
            if wire.lose_answer(message):
                wire.lose_answer = never
                self._loses_answer = True
            away.write(message)
            await away.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while message := await reader.read(CHUNK_BYTES):
            await self._wire.passing.wait()
            if self._loses_answer:
                self._wire.cut()
                return
            writer.write(message)
            await writer.drain()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A way to the server at `url`, cut at the end."""
    way = Wire(url)
    listening = await way.serve()
    try:
        yield way
    finally:
        way.on_cut = lambda: None
        listening.close()
        way.cut()
