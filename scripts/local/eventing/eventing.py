"""One machine's Knative Eventing: Brokers, Triggers, sources and dead letters from the manifests."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from events import CloudEvent
from scripts.local.http import Client, Request
from scripts.local.manifests.model import Manifests

from .broker import Broker, HopsUsedUp
from .classes import CLASSES
from .ingress import MAX_EVENT_BYTES, Ingress
from .log import Checkpoint, DeadLetter, LogRefused
from .ping import ping
from .record import Record
from .retention import Retention
from .route import Route, route_of
from .sinks import Sinks
from .sqlite.checkpoints import SqliteCheckpoints
from .sqlite.database import Database
from .sqlite.deadletters import SqliteDeadLetters
from .sqlite.eventlog import SqliteEventLog
from .subscriber import HttpSubscriber, Services
from .subscription import Subscription

log = logging.getLogger(__name__)

FILE = "broker.sqlite"
CHECKPOINT_INTERVAL_S = 0.2
"""What a crash may deliver a second time: what was done since the last checkpoint."""
FOLLOWED_EVENTS = 1_000
"""A follower that is further behind misses events."""
LETTERS_A_PAGE = 100
COLLECTOR = (10_000, 20, 50)
"""Thousands of events stay in memory for a while and none is part of a cycle: at its default the garbage
collector looks through them every few dozen events, for a tenth of the processor's time."""


@dataclass(frozen=True, slots=True)
class TriggerStatus:
    """How a Trigger is doing. `lag`: events that are not known to be done; `waiting`: those in back-off."""

    trigger: str
    broker: str
    lag: int
    waiting: int
    taken: int
    failed: int
    dead: int


class Eventing:
    """The Brokers of the manifests between `start` and `stop`; the manifests have passed `problems`."""

    def __init__(
        self,
        manifests: Manifests,
        folder: Path,
        services: Services,
        *,
        retention: Retention | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_pages: int | None = None,
    ) -> None:
        self._manifests = manifests
        self._sinks = Sinks(manifests)
        self._retention = retention or Retention()
        self._database = Database(folder / FILE, max_pages=max_pages)
        self._checkpoints = SqliteCheckpoints(self._database)
        self._letters = SqliteDeadLetters(self._database)
        names = [f"{broker.namespace}/{broker.name}" for broker in manifests.brokers]
        self._events = SqliteEventLog(self._database, names)
        self._brokers = {
            name: Broker(name, CLASSES[broker.klass], self._events)
            for name, broker in zip(names, manifests.brokers, strict=True)
        }
        self._ingress = Ingress(self._brokers.values(), max_event_bytes)
        self._client = Client()
        self._subscriber = HttpSubscriber(services, self._client, self._publish)
        self._subscriptions: dict[str, Subscription] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the log and go on where each Trigger was; a new one begins with the next event."""
        gc.set_threshold(*COLLECTOR)
        await self._database.open()
        await self._events.open()
        known = await self._checkpoints.load()
        for route, broker in self._routes():
            self._subscriptions[route.name] = self._subscription(route, broker, known.get(route.name))
        await self._checkpoints.forget([name for name in known if name not in self._subscriptions])
        await self._save_checkpoints()
        for subscription in self._subscriptions.values():
            subscription.start()
        self._tasks = [
            asyncio.create_task(_repeat(CHECKPOINT_INTERVAL_S, self._save_checkpoints)),
            asyncio.create_task(_repeat(self._retention.interval_s, self._apply_retention)),
        ]
        for source in self._manifests.ping_sources:
            sink = self._sinks.resolve(source.sink, source.namespace)
            self._tasks.append(asyncio.create_task(ping(source, sink, self._subscriber)))

    async def stop(self, grace_s: float = 1.0) -> None:
        """Finish what is answered within `grace_s`; the rest waits, stored, for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(subscription.stop(grace_s) for subscription in self._subscriptions.values()))
        try:
            await self._save_checkpoints()
        except LogRefused as error:
            log.error("the Triggers' places could not be saved, some events will come twice: %s", error)
        await self._client.close()
        await self._database.close()

    def handle(self, request: Request) -> Awaitable[None] | None:
        """The ingress: `POST /<namespace>/<broker>`."""
        return self._ingress.handle(request)

    def lag(self) -> list[TriggerStatus]:
        """How each Trigger is doing, by name."""
        return [
            TriggerStatus(
                name,
                subscription.broker,
                subscription.lag,
                subscription.waiting,
                subscription.counts.taken,
                subscription.counts.failed,
                subscription.counts.dead,
            )
            for name, subscription in sorted(self._subscriptions.items())
        ]

    async def dead_letters(self, limit: int = 1_000, after: int = 0) -> list[DeadLetter]:
        """The oldest dead letters with a higher id than `after`."""
        return await self._letters.list(limit, after)

    async def redeliver(self, ident: int | None = None) -> int:
        """Deliver one dead letter, or all of them, to the Trigger that gave it up; how many are on their way.

        Those that are taken disappear from `dead_letters`, the others stay with the new reason.
        `LookupError`, with a sentence, where there is no such letter or its Trigger is no more.
        """
        if ident is not None:
            letter = await self._letters.get(ident)
            if letter is None:
                raise LookupError(f"there is no dead letter {ident}")
            if letter.trigger not in self._subscriptions:
                raise LookupError(f"the Trigger {letter.trigger} of dead letter {ident} is no more")
            await self._subscriptions[letter.trigger].redeliver(letter)
            return 1
        count = after = 0
        while letters := await self._letters.list(LETTERS_A_PAGE, after):
            for letter in letters:
                if letter.trigger in self._subscriptions:
                    await self._subscriptions[letter.trigger].redeliver(letter)
                    count += 1
            after = letters[-1].id
        return count

    async def tail(self, count: int, broker: str | None = None) -> list[Record]:
        """A Broker's last events, oldest first (`<namespace>/<name>`; None: the first of the manifests).

        `LookupError` where the manifests have no Broker.
        """
        name = broker or self._first_broker()
        start = max(self._events.end(name) - count, 0)
        return await self._events.read(name, start, count, count * MAX_EVENT_BYTES)

    async def follow(self, broker: str | None = None) -> AsyncGenerator[Record, None]:
        """Events of a Broker as they pass."""
        passing: asyncio.Queue[Record] = asyncio.Queue(FOLLOWED_EVENTS)

        def offer(records: Sequence[Record]) -> None:
            for record in records[: FOLLOWED_EVENTS - passing.qsize()]:
                passing.put_nowait(record)

        unwatch = self._events.watch(broker or self._first_broker(), offer)
        try:
            while True:
                yield await passing.get()
        finally:
            unwatch()

    def _first_broker(self) -> str:
        for name in self._brokers:
            return name
        raise LookupError("there is no Broker in the manifests, so no event passes")

    def _routes(self) -> list[tuple[Route, Broker]]:
        brokers = {(broker.namespace, broker.name): broker for broker in self._manifests.brokers}
        return [
            (
                route_of(trigger, brokers[trigger.namespace, trigger.broker], self._sinks),
                self._brokers[f"{trigger.namespace}/{trigger.broker}"],
            )
            for trigger in self._manifests.triggers
        ]

    def _subscription(self, route: Route, broker: Broker, known: Checkpoint | None) -> Subscription:
        if known is None or known.broker != broker.name:
            known = Checkpoint(broker.name, self._events.end(broker.name))
        return Subscription(route, broker, self._letters, self._subscriber, known)

    async def _publish(self, broker: str, event: CloudEvent) -> None:
        try:
            await self._brokers[broker].take([event])
        except HopsUsedUp as error:
            log.warning("%s: %s", broker, error)

    async def _save_checkpoints(self) -> None:
        changed = {name: one.checkpoint() for name, one in self._subscriptions.items() if one.changed}
        if not changed:
            return
        try:
            await self._checkpoints.save(changed)
        except LogRefused:
            for name in changed:
                self._subscriptions[name].changed = True
            raise

    async def _apply_retention(self) -> None:
        needed = {name: self._events.end(name) for name in self._brokers}
        for subscription in self._subscriptions.values():
            needed[subscription.broker] = min(needed[subscription.broker], subscription.lowest)
        await self._retention.apply(self._events, needed)


async def _repeat(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again: a log that refuses now may not the next time."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await work()
        except LogRefused as error:
            log.error("%s", error)
        except Exception:  # as long as the broker runs this is tried again
            log.exception("the broker's upkeep failed")
