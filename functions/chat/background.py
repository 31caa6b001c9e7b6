"""Work that goes on when nobody waits for it any more: a snapshot, the record of a turn whose client left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Holds on to its tasks until they have ended (the event loop itself doesn't)."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin `work`; it must deal with its own errors unless somebody awaits it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; it goes on to its end even if the waiting task is cancelled."""
        return await asyncio.shield(self.start(work))

    async def drain(self) -> None:
        """Wait until everything has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
