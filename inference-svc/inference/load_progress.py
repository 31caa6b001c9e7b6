"""How far a load has come, for everybody who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LoadStep:
    """A step of a load: a line of what is done, or how many of the weights' bytes are in memory.

    `total_bytes` is what the model may take at most, its cache included: a load ends before it.
    """

    message: str | None = None
    loaded_bytes: int = 0
    total_bytes: int = 0


@dataclass(slots=True)
class LoadProgress:
    """The steps of one load. Written by one, read by any number, all on one event loop."""

    steps: list[LoadStep] = field(default_factory=list)
    ended: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, step: LoadStep) -> None:
        """Go a step further."""
        self.steps.append(step)
        self._wake()

    def end(self) -> None:
        """There is no further step."""
        self.ended = True
        self._wake()

    async def follow(self) -> AsyncIterator[LoadStep]:
        """Every step from the first on, until the load has ended."""
        seen = 0
        while True:
            while seen < len(self.steps):
                yield self.steps[seen]
                seen += 1
            if self.ended:
                return
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True)
class Percents:
    """Lets a number through where it is a percent of `total` beyond the last one that passed."""

    total: int
    _last: int = 0

    def passes(self, number: int) -> bool:
        """Whether to tell this number."""
        if self.total and number - self._last < self.total / 100:
            return False
        self._last = number
        return True
