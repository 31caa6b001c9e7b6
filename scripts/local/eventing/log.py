"""What the Broker needs of whatever keeps its events: three ports, and the one error they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from events import CloudEvent

from .record import Record


class LogRefused(Exception):
    """The log could not take it (disk full, …): nothing of it is stored, and a later try may succeed."""


class EventLog(Protocol):
    """An append-only log a Broker. SQLite stands behind it here; Kafka can."""

    def append(self, broker: str, events: Sequence[CloudEvent]) -> asyncio.Future[None]:
        """Store all or none, in this order; the future is done once they survive a crash, or is `LogRefused`.

        Appending twice stores twice: the log doesn't know what it holds.
        """

    async def read(self, broker: str, start: int, limit: int, max_bytes: int) -> list[Record]:
        """Durable events from offset `start` on: at most `limit`, and `max_bytes` (but always one)."""

    async def pick(self, broker: str, offset: int) -> Record | None:
        """One event, or None where there is none at that offset any more."""

    def end(self, broker: str) -> int:
        """The offset after the last durable event."""

    def watch(self, broker: str, appended: Callable[[Sequence[Record]], None]) -> Callable[[], None]:
        """Call `appended` with events as they become durable, until the returned function is called."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a Trigger is: every event below `position` is done, except those in `open`."""

    broker: str
    position: int
    open: tuple[int, ...] = ()

    @property
    def lowest(self) -> int:
        """The lowest offset that this Trigger still needs."""
        return self.open[0] if self.open else self.position


class Checkpoints(Protocol):
    """Where the Triggers are, by name; what is saved survives a crash."""

    async def load(self) -> dict[str, Checkpoint]:
        """All of them."""

    async def save(self, changed: dict[str, Checkpoint]) -> None:
        """Put these in the place of the ones of their names; twice is harmless. `LogRefused`."""

    async def forget(self, triggers: Sequence[str]) -> None:
        """Triggers that are no more: should one of that name come again, it begins anew."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event could not be delivered.

    Attributes:
        reason: a sentence for people.
        destination: the subscriber's URL; None where the class doesn't tell it.
        code: the status it answered; None where there was no answer, or no failing one.
        data: the first 1,024 bytes of that answer's body.
    """

    reason: str
    destination: str | None
    code: int | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a Trigger gave up on. `sink` says what became of it at the dead letter sink."""

    trigger: str
    broker: str
    record: Record
    failure: Failure
    at_ms: int
    sink: str
    id: int = field(default=0)


class DeadLetters(Protocol):
    """Events that were given up on, until they are delivered after all. One a Trigger and offset."""

    async def put(self, letter: DeadLetter) -> None:
        """Keep it, in the place of an earlier one of the same Trigger and offset. `LogRefused`."""

    async def get(self, ident: int) -> DeadLetter | None:
        """One of them."""

    async def list(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """The oldest `limit` with a higher id than `after`."""

    async def remove(self, ident: int) -> None:
        """It has been delivered; twice is harmless. `LogRefused`."""
