"""A Broker: events go in, by its class's rules, and stand in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from events import CloudEvent

from .classes import BrokerClass
from .log import EventLog, Failure
from .record import Record

NOT_TAKEN = 400
"""What the ingress says to an event that has made all its hops."""


class HopsUsedUp(ValueError):
    """The event has passed through this Broker as often as it may."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One Broker of the manifests; `name` is `<namespace>/<name>`."""

    name: str
    klass: BrokerClass
    events: EventLog

    def take(self, events: Sequence[CloudEvent]) -> asyncio.Future[None]:
        """Store events from outside, all or none, as `EventLog.append`; `HopsUsedUp` where one may not."""
        stored = []
        for event in events:
            kept = self.klass.stored(event)
            if kept is None:
                raise HopsUsedUp(f"the event {event.id!r} has made all its hops: knativebrokerttl is used up")
            stored.append(kept)
        return self.events.append(self.name, stored)

    async def take_reply(self, event: CloudEvent, answered: Record) -> Failure | None:
        """Store what a subscriber answered with, or say why not: it is beyond the last hop. `LogRefused`."""
        kept = self.klass.stored(event, answered)
        if kept is None:
            address = f"http://{self.klass.ingress_host}/{self.name}"
            return Failure(f"{self.name} takes no reply to it: its hops are used up", address, NOT_TAKEN)
        await self.events.append(self.name, [kept])
        return None
