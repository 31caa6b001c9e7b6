"""A Broker: events go in, by its class's rules, and stand in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from events import CloudEvent

from .classes import BrokerClass
from .log import EventLog
from .record import Record

log = logging.getLogger(__name__)


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

    async def take_reply(self, event: CloudEvent, answered: Record) -> None:
        """Store what a subscriber answered with; a reply beyond the last hop is dropped. `LogRefused`."""
        kept = self.klass.stored(event, answered)
        if kept is None:
            log.warning(
                "%s: a reply to %s is dropped: its hops are used up", self.name, answered.attributes["id"]
            )
            return
        await self.events.append(self.name, [kept])
