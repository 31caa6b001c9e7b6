"""One call where many ask for the same at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Shares the outcome of a call among all who ask for it while it runs, also where it is an error."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[V]] = {}

    async def do(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """What the call under `key` that is in progress returns, or else `call`.

        Someone who leaves doesn't end it for the others.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(call())
            flight.add_done_callback(lambda landed: self._landed(key, landed))
        return await asyncio.shield(flight)

    def _landed(self, key: Hashable, flight: asyncio.Task[V]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, also where everyone who waited has left
