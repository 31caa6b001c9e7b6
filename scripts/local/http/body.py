"""Bytes of a message that arrive while someone may be waiting for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from .errors import BodyTooLarge
from .limits import HIGH_WATER_BYTES


class Flow(Protocol):
    """The connection that a body comes from."""

    def hold(self) -> None:
        """Stop reading: the body's reader is behind."""

    def release(self) -> None:
        """Read on."""


class Body:
    """One message's body: fed by a parser, read once by one reader, never more than a little ahead of it."""

    __slots__ = ("_chunks", "_dropping", "_error", "_flow", "_held", "_size", "_waiter", "complete")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._held = False
        self._dropping = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.complete = False

    @property
    def ended(self) -> bool:
        """Whether nothing more comes: the body is whole, or failed."""
        return self.complete or self._error is not None

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        if self._dropping:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES and not self._held:
            self._held = True
            self._flow.hold()
        self._wake()

    def end(self) -> None:
        """Say that the body is whole."""
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Say that no more will come; what has arrived can still be read, then `error` is raised."""
        if not self.complete:
            self._error = error
            self._wake()

    def drop(self) -> None:
        """Forget what is there and what still comes: nobody will read it."""
        self._dropping = True
        self._take()

    def whole(self) -> bytes | None:
        """The body, if all of it has arrived; else None. Reads it."""
        if not self.complete:
            return None
        if not self._chunks:
            return b""
        return self._take()

    async def read(self, max_bytes: int) -> bytes:
        """The whole body; `BodyTooLarge` as soon as it is known to exceed `max_bytes`."""
        parts: list[bytes] = []
        total = 0
        async for chunk in self.chunks():
            total += len(chunk)
            if total > max_bytes:
                raise BodyTooLarge(max_bytes)
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces of whatever size the network gave."""
        while True:
            if self._chunks:
                yield self._take()
            elif self.complete:
                return
            elif self._error is not None:
                raise self._error
            else:
                await self._arrival()

    def _take(self) -> bytes:
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._held:
            self._held = False
            self._flow.release()
        return data

    async def _arrival(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
