"""One Trigger at work: reads the log at its own pace; delivers, retries and gives up by its policy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass

from .broker import Broker
from .concurrency import Concurrency
from .courier import Courier
from .log import Checkpoint, DeadLetter, DeadLetters, Failure, LogRefused
from .record import Record
from .route import Route
from .subscriber import Subscriber
from .window import Item, Window

log = logging.getLogger(__name__)

READ_EVENTS = 256
PAUSE_S = 1.0
"""The wait after a trouble of our own (the log refuses, …): it costs the event none of its tries."""
REDELIVERIES = 100
"""Dead letters that are delivered again at once; each is in memory."""


@dataclass(slots=True)
class Counts:
    """Deliveries since the start."""

    taken: int = 0
    failed: int = 0
    dead: int = 0


class Subscription:
    """A Trigger between `start` and `stop`.

    A reader fills the window from the log, and workers empty it: as many as the subscriber takes at once,
    none while there is nothing to do. A failed event leaves its worker and comes back after its back-off.
    """

    def __init__(
        self, route: Route, broker: Broker, letters: DeadLetters, subscriber: Subscriber, at: Checkpoint
    ) -> None:
        self.route = route
        self.counts = Counts()
        self.changed = True
        """Whether the checkpoint is another than the one that was last asked for."""
        self._broker = broker
        self._courier = Courier(route, broker.name, letters, subscriber)
        self._window = Window(at, ordered=route.ordered)
        self._concurrency = Concurrency()
        self._work_to_read = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[Item, asyncio.TimerHandle] = {}
        self._workers = 0
        self._starting = 0  # of the workers, those whose first step is still to come
        self._redelivering = asyncio.Semaphore(REDELIVERIES)
        self._stopping = False

    def start(self) -> None:
        """Begin where the checkpoint says."""
        self._unwatch = self._broker.events.watch(self._broker.name, lambda _: self._work_to_read.set())
        self._spawn(self._read())

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more, and leave what isn't answered within `grace_s` to the next start."""
        self._stopping = True
        self._unwatch()
        for timer in self._timers.values():
            timer.cancel()
        self._work_to_read.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def checkpoint(self) -> Checkpoint:
        """Where a restart would go on."""
        self.changed = False
        return self._window.checkpoint()

    @property
    def broker(self) -> str:
        """Its Broker, `<namespace>/<name>`."""
        return self._broker.name

    @property
    def lowest(self) -> int:
        """The lowest offset that it still needs."""
        return self._window.lowest

    @property
    def lag(self) -> int:
        """Events of the Broker that are not known to be done, wanted by this Trigger or not yet looked at."""
        return self._broker.events.end(self._broker.name) - self._window.position + len(self._window)

    @property
    def waiting(self) -> int:
        """Events in back-off."""
        return len(self._timers)

    async def redeliver(self, letter: DeadLetter) -> None:
        """Deliver a dead letter once more; taken, it is forgotten. Waits while many are on their way."""
        await self._redelivering.acquire()
        if not self._window.admit(letter.record, letter.id):
            self._redelivering.release()
        self._employ()

    # Reading.

    async def _read(self) -> None:
        while not self._stopping:
            room_bytes = self._window.room_bytes
            if not room_bytes or not self._more_to_read:
                self._work_to_read.clear()
                await self._work_to_read.wait()
                continue
            try:
                if self._window.unread:
                    await self._read_again()
                else:
                    await self._read_some(room_bytes)
            except LogRefused as error:
                log.error("%s can't read the log: %s", self.route.name, error)
                await asyncio.sleep(PAUSE_S)
            except Exception:  # a Trigger outlives a fault of one read; nothing of it is skipped
                log.exception("%s can't read the log", self.route.name)
                await asyncio.sleep(PAUSE_S)
            self._employ()
            await asyncio.sleep(0)  # the others' turn

    @property
    def _more_to_read(self) -> bool:
        window = self._window
        return window.position < self._broker.events.end(self._broker.name) or bool(window.unread)

    async def _read_again(self) -> None:
        offset = self._window.unread[0]
        record = await self._broker.events.pick(self._broker.name, offset)
        if record is None:
            log.error("%s: event %d is in the log no more", self.route.name, offset)
        else:
            self._window.admit(record)
        self._window.unread.popleft()

    async def _read_some(self, room_bytes: int) -> None:
        window, wants = self._window, self.route.selection.wants
        events, name = self._broker.events, self._broker.name
        end = events.end(name)
        records = await events.read(name, window.position, READ_EVENTS, room_bytes)
        for record in records:
            if wants(record.attributes):
                window.admit(record)
        window.position = records[-1].offset + 1 if records else end
        self.changed = True

    # Delivering.

    def _employ(self) -> None:
        """As many workers as there is work and places."""
        wanted = min(self._concurrency.places - self._workers, self._window.ready - self._starting)
        for _ in range(wanted):
            self._workers += 1
            self._starting += 1
            self._spawn(self._deliver_all())

    async def _deliver_all(self) -> None:
        window = self._window
        self._starting -= 1
        try:
            while self._workers <= self._concurrency.places and not self._stopping:
                item = window.take()
                if item is None:
                    return
                await self._deliver(item)
                if window.ready - self._starting > 1:  # this worker takes one of them itself
                    self._employ()
                if window.room_bytes and self._more_to_read:
                    self._work_to_read.set()
        finally:
            self._workers -= 1

    async def _deliver(self, item: Item) -> None:
        try:
            record = item.record or await self._recall(item)
            if record is None:
                log.error("%s: event %d is in the log no more", self.route.name, item.offset)
                self._done(item)
            elif item.failure is None:
                await self._try(item, record)
            else:
                await self._bury(item, record, item.failure)
        except LogRefused as error:
            log.error("%s: event %d waits: %s", self.route.name, item.offset, error)
            self._later(item, PAUSE_S)
        except Exception:  # a worker outlives a fault of one delivery: the event stays open
            log.exception("%s: event %d waits", self.route.name, item.offset)
            self._later(item, PAUSE_S)

    async def _recall(self, item: Item) -> Record | None:
        record = await self._broker.events.pick(self._broker.name, item.offset)
        if record is not None:
            self._window.hold(item, record)
        return record

    async def _try(self, item: Item, record: Record) -> None:
        verdict = await self._courier.deliver(record)
        if verdict.overload:
            self._concurrency.overloaded()
        failure = verdict.failure
        if verdict.reply is not None:
            failure = await self._broker.take_reply(verdict.reply, record)
        if failure is None:
            if item.letter:
                await self._courier.forget(item.letter)
            self.counts.taken += 1
            self._concurrency.taken()
            self._done(item)
            return
        self.counts.failed += 1
        if not self._again(item, retried=verdict.retried):
            item.failure, item.tries = failure, 0
            await self._bury(item, record, failure)

    async def _bury(self, item: Item, record: Record, failure: Failure) -> None:
        """Keep a dead letter, and hand it to the dead letter sink by the same policy."""
        has_sink = self.route.dead_letter_sink is not None
        if item.tries == 0:
            ident = record.attributes["id"]
            log.warning("%s gives up on event %s: %s", self.route.name, ident, failure.reason)
            await self._courier.keep(record, failure, "not yet delivered" if has_sink else "none")
        if has_sink:
            verdict = await self._courier.deliver_dead(record, failure)
            if verdict.failure is not None and self._again(item, retried=verdict.retried):
                return
            became = verdict.failure.reason if verdict.failure is not None else "delivered"
            await self._courier.keep(record, failure, became)
        self.counts.dead += 1
        self._done(item)

    # Coming back, and going.

    def _again(self, item: Item, *, retried: bool) -> bool:
        """Whether the event gets another try; it comes back by itself."""
        item.tries += 1
        wait_s = self.route.policy.back_off_s(item.tries) if retried else None
        if wait_s is None:
            return False
        self._later(item, wait_s)
        return True

    def _later(self, item: Item, wait_s: float) -> None:
        self._window.rest(item)
        if not self._stopping:
            self._timers[item] = asyncio.get_running_loop().call_later(wait_s, self._resume, item)

    def _resume(self, item: Item) -> None:
        del self._timers[item]
        self._window.resume(item)
        self._employ()

    def _done(self, item: Item) -> None:
        self.changed = True
        self._window.done(item)
        if item.letter:
            self._redelivering.release()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
