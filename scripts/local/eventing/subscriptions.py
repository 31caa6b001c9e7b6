"""All Triggers at work: what the manifests ask for now, and where in the log each of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .broker import Broker
from .log import Checkpoint, Checkpoints, DeadLetters, LogRefused
from .route import Route
from .subscriber import Subscriber
from .subscription import Subscription

CHANGED_WITHIN_S = 1.0
"""How long a Trigger that is replaced waits for answers; what isn't answered by then is delivered again."""


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


class Subscriptions:
    """The Triggers at work, by `<namespace>/<trigger>`."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        letters: DeadLetters,
        subscriber: Subscriber,
        end: Callable[[str], int],
    ) -> None:
        """`end`: the offset behind a Broker's last event, where a Trigger begins that is new."""
        self._running: dict[str, Subscription] = {}
        self._checkpoints = checkpoints
        self._letters = letters
        self._subscriber = subscriber
        self._end = end

    async def start(self, wanted: Mapping[str, tuple[Route, Broker]]) -> None:
        """Go on where each Trigger was; a new one begins with the next event. `LogRefused`."""
        known = await self._checkpoints.load()
        for name, (route, broker) in wanted.items():
            self._running[name] = self._subscription(route, broker, known.get(name))
        await self._checkpoints.forget([name for name in known if name not in wanted])
        await self.save()
        for subscription in self._running.values():
            subscription.start()

    def get(self, name: str) -> Subscription | None:
        """The Trigger of that name, if there is one."""
        return self._running.get(name)

    async def apply(self, wanted: Mapping[str, tuple[Route, Broker]], changed: set[str]) -> None:
        """Begin what is new, end what is no more; the `changed` go on where they were. `LogRefused`."""
        over = [name for name in self._running if name not in wanted or name in changed]
        ending = {name: self._running.pop(name) for name in over}
        await asyncio.gather(*(one.stop(CHANGED_WITHIN_S) for one in ending.values()))
        await self._checkpoints.forget([name for name in ending if name not in wanted])
        for name in wanted.keys() - self._running.keys():
            at = ending[name].checkpoint() if name in ending else None
            self._running[name] = self._subscription(*wanted[name], at)
            self._running[name].start()
        await self.save()

    async def save(self) -> None:
        """Write down where each is, as far as that has changed. `LogRefused`."""
        changed = {name: one.checkpoint() for name, one in self._running.items() if one.changed}
        if not changed:
            return
        try:
            await self._checkpoints.save(changed)
        except LogRefused:
            for name in changed.keys() & self._running.keys():
                self._running[name].changed = True
            raise

    async def stop(self, grace_s: float) -> None:
        """Finish what is answered within `grace_s`; the rest waits, stored, for the next start."""
        await asyncio.gather(*(subscription.stop(grace_s) for subscription in self._running.values()))

    def needed(self, brokers: Mapping[str, Broker]) -> dict[str, int]:
        """The lowest offset of each Broker that a Trigger still needs."""
        needed = {name: self._end(name) for name in brokers}
        for subscription in self._running.values():
            needed[subscription.broker] = min(needed[subscription.broker], subscription.lowest)
        return needed

    def status(self) -> list[TriggerStatus]:
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
            for name, subscription in sorted(self._running.items())
        ]

    def _subscription(self, route: Route, broker: Broker, at: Checkpoint | None) -> Subscription:
        if at is None or at.broker != broker.name:
            at = Checkpoint(broker.name, self._end(broker.name))
        return Subscription(route, broker, self._letters, self._subscriber, at)
