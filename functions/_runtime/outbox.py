"""From the outbox to the broker: what an append left there is published, in each stream's order.

An event is published at least once: a relay that stops between the broker's answer and its own note
publishes it again, and consumers deduplicate by (source, id). Several replicas may relay the same outbox:
the first time that an event is published, the ones before it in its stream have been, or were set aside
because the broker refuses them for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby

from events import CloudEvent
from functions._runtime.errors import Problem, Unavailable, Unprocessable
from functions._runtime.logs import Log
from functions._runtime.ports import EventStore, Publisher, Recorded
from functions._runtime.set_aside import SetAside

BATCH = 256
STREAMS_AT_ONCE = 16
IDLE_LOOK_S = 5.0
DRAIN_S = 5.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Relay:
    """Publishes what stands in `store`'s outbox; `run` is a function's background task."""

    def __init__(self, store: EventStore, publisher: Publisher, aside: SetAside, log: Log) -> None:
        self._store = store
        self._publisher = publisher
        self._aside = aside
        self._log = log
        self._appended = asyncio.Event()
        self._passing: asyncio.Task[int] | None = None

    def wake(self) -> None:
        """Something has been appended."""
        self._appended.set()

    async def run(self) -> None:
        """Relay until cancelled; then publish what is left, if the broker takes it within `DRAIN_S`."""
        try:
            await self._relay()
        finally:
            try:
                async with asyncio.timeout(DRAIN_S):
                    await self._drain()
            except (TimeoutError, Problem):
                self._log.warning("outbox_left_for_the_next_start")

    async def pass_once(self) -> int:
        """Publish a batch; return how many events of it are done with.

        Raises:
            Unavailable: the store can't be read or written now.
        """
        waiting = await self._store.unpublished(BATCH)
        admitted = asyncio.Semaphore(STREAMS_AT_ONCE)
        done = await asyncio.gather(*(self._publish(events, admitted) for events in _by_stream(waiting)))
        settled = [event for events in done for event in events]
        await self._store.mark_published(settled)
        return len(settled)

    async def _relay(self) -> None:
        with suppress(Unavailable):  # the next start is another chance
            await self._aside.try_again(self._store, self._publisher)
        pause_s = 0.0
        while True:
            self._appended.clear()
            count, failed = await self._tried()
            if failed:
                pause_s = min(2 * pause_s or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)
            elif count == 0:
                pause_s = 0.0
                await self._woken()
            else:
                pause_s = 0.0

    async def _drain(self) -> None:
        if self._passing is not None:
            await self._passing
        while await self.pass_once() > 0:
            pass

    async def _tried(self) -> tuple[int, bool]:
        # A pass isn't broken off between the broker's answer and the note of it: it would be published twice.
        self._passing = asyncio.create_task(self.pass_once())
        try:
            count = await asyncio.shield(self._passing)
            left = await self._store.unpublished(1) if count == 0 else []
        except Problem as problem:
            self._log.warning("outbox_out_of_reach", code=problem.code)
            return 0, True
        return count, bool(left)

    async def _woken(self) -> None:
        # The look without a call finds what another replica appended and died over.
        try:
            async with asyncio.timeout(IDLE_LOOK_S):
                await self._appended.wait()
        except TimeoutError:
            return

    async def _publish(self, events: Iterable[Recorded], admitted: asyncio.Semaphore) -> list[Recorded]:
        """Publish one stream's events in order, up to the first that the broker doesn't take now."""
        settled: list[Recorded] = []
        async with admitted:
            for recorded in events:
                try:
                    await self._settle(recorded)
                except Problem as problem:
                    self._log.warning(
                        "event_not_published",
                        type=recorded.event.type,
                        event_id=recorded.event.id,
                        code=problem.code,
                    )
                    break
                settled.append(recorded)
        return settled

    async def _settle(self, recorded: Recorded) -> None:
        try:
            await self._publisher.publish(recorded.event)
        except Unprocessable as refusal:
            await self._aside.add(recorded, refusal)


class RelayedStore:
    """An `EventStore` whose appends wake its relay."""

    def __init__(self, store: EventStore, relay: Relay) -> None:
        self._store = store
        self._relay = relay
        self.read = store.read
        self.read_all = store.read_all
        self.unpublished = store.unpublished
        self.mark_published = store.mark_published

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Append, then tell the relay; see the port."""
        version = await self._store.append(stream, events, expected_version)
        self._relay.wake()
        return version


def _by_stream(events: Sequence[Recorded]) -> list[list[Recorded]]:
    ordered = sorted(events, key=lambda recorded: (recorded.stream, recorded.version))
    return [list(of_stream) for _, of_stream in groupby(ordered, key=lambda recorded: recorded.stream)]
