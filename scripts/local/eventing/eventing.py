"""One machine's Knative Eventing: Brokers, Triggers, sources and dead letters from the manifests."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from events import CloudEvent
from scripts.local.http import Client, Request
from scripts.local.manifests.model import Broker as BrokerManifest
from scripts.local.manifests.model import Manifests, PingSource

from .broker import Broker, HopsUsedUp
from .classes import CLASSES
from .ingress import MAX_EVENT_BYTES, Ingress
from .log import DeadLetter, LogRefused
from .ping import ping
from .record import Record
from .retention import Retention
from .route import Route, route_of
from .sinks import Sink, Sinks
from .sqlite.checkpoints import SqliteCheckpoints
from .sqlite.database import Database
from .sqlite.deadletters import SqliteDeadLetters
from .sqlite.eventlog import SqliteEventLog
from .subscriber import HttpSubscriber, Services
from .subscriptions import Subscriptions, TriggerStatus

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
        self._letters = SqliteDeadLetters(self._database)
        self._events = SqliteEventLog(self._database, [name_of(broker) for broker in manifests.brokers])
        self._brokers = self._brokers_of(manifests)
        self._ingress = Ingress(self._brokers.values(), max_event_bytes)
        self._client = Client()
        self._subscriber = HttpSubscriber(services, self._client, self._publish)
        self._subscriptions = Subscriptions(
            SqliteCheckpoints(self._database), self._letters, self._subscriber, self._events.end
        )
        self._pings: list[tuple[PingSource, Sink, asyncio.Task[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the log and go on where each Trigger was; a new one begins with the next event."""
        gc.set_threshold(*COLLECTOR)
        await self._database.open()
        await self._events.open()
        await self._subscriptions.start(self._routes())
        self._tasks = [
            asyncio.create_task(_repeat(CHECKPOINT_INTERVAL_S, self._subscriptions.save)),
            asyncio.create_task(_repeat(self._retention.interval_s, self._apply_retention)),
        ]
        self._start_pings()

    async def apply(self, manifests: Manifests) -> None:
        """Go over to changed manifests, which have passed `problems`. `LogRefused`."""
        before = self._meaning()
        self._manifests, self._sinks = manifests, Sinks(manifests)
        for broker in manifests.brokers:
            await self._events.add(name_of(broker))
        self._brokers = self._brokers_of(manifests)
        self._ingress.serve(self._brokers.values())
        now = self._meaning()
        changed = {name for name in now if name in before and now[name] != before[name]}
        await self._subscriptions.apply(self._routes(), changed)
        self._start_pings()

    async def stop(self, grace_s: float = 1.0) -> None:
        """Finish what is answered within `grace_s`; the rest waits, stored, for the next start."""
        tasks = [*self._tasks, *(task for _, _, task in self._pings)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._subscriptions.stop(grace_s)
        try:
            await self._subscriptions.save()
        except LogRefused as error:
            log.error("the Triggers' places could not be saved, some events will come twice: %s", error)
        await self._client.close()
        await self._database.close()

    def handle(self, request: Request) -> Awaitable[None] | None:
        """The ingress: `POST /<namespace>/<broker>`."""
        return self._ingress.handle(request)

    def lag(self) -> list[TriggerStatus]:
        """How each Trigger is doing, by name."""
        return self._subscriptions.status()

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
            subscription = self._subscriptions.get(letter.trigger)
            if subscription is None:
                raise LookupError(f"the Trigger {letter.trigger} of dead letter {ident} is no more")
            await subscription.redeliver(letter)
            return 1
        count = after = 0
        while letters := await self._letters.list(LETTERS_A_PAGE, after):
            for letter in letters:
                if (subscription := self._subscriptions.get(letter.trigger)) is not None:
                    await subscription.redeliver(letter)
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

    def _brokers_of(self, manifests: Manifests) -> dict[str, Broker]:
        return {
            name_of(broker): Broker(name_of(broker), CLASSES[broker.klass], self._events)
            for broker in manifests.brokers
        }

    def _routes(self) -> dict[str, tuple[Route, Broker]]:
        declared = {name_of(broker): broker for broker in self._manifests.brokers}
        routes = [
            (route_of(trigger, declared[broker], self._sinks), self._brokers[broker])
            for trigger in self._manifests.triggers
            for broker in (f"{trigger.namespace}/{trigger.broker}",)
        ]
        return {route.name: (route, broker) for route, broker in routes}

    def _meaning(self) -> dict[str, tuple[object, ...]]:
        """What each Trigger does, to be compared: its text, its Broker's, and where that leads."""
        declared = {name_of(broker): broker for broker in self._manifests.brokers}
        said = {f"{trigger.namespace}/{trigger.name}": trigger for trigger in self._manifests.triggers}
        return {
            name: (said[name], declared[broker.name], route.sink, route.dead_letter_sink)
            for name, (route, broker) in self._routes().items()
        }

    def _start_pings(self) -> None:
        """One task for each source of the manifests; those of others end."""
        wanted = [
            (source, self._sinks.resolve(source.sink, source.namespace))
            for source in self._manifests.ping_sources
        ]
        for source, sink, task in self._pings:
            if (source, sink) not in wanted:
                task.cancel()
        kept = [running for running in self._pings if running[:2] in wanted]
        there = [running[:2] for running in kept]
        self._pings = kept + [
            (source, sink, asyncio.create_task(ping(source, sink, self._subscriber)))
            for source, sink in wanted
            if (source, sink) not in there
        ]

    async def _publish(self, broker: str, event: CloudEvent) -> None:
        try:
            await self._brokers[broker].take([event])
        except HopsUsedUp as error:
            log.warning("%s: %s", broker, error)

    async def _apply_retention(self) -> None:
        await self._retention.apply(self._events, self._subscriptions.needed(self._brokers))


def name_of(broker: BrokerManifest) -> str:
    """`<namespace>/<name>`."""
    return f"{broker.namespace}/{broker.name}"


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
