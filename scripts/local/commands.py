"""What `scripts/run COMMAND` can ask of the running system."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .admin import Command, CommandError, Row
from .datafolder import DataFolder
from .eventing import DeadLetter, LogRefused, Record
from .firstuse import FirstUse, Refused
from .machine import Machine
from .manifests import ManifestError, Manifests
from .serving.memory import own_memory_bytes

LOG_LINES = 1_000


class Commands:
    """The admin door's commands, over the machine's parts."""

    def __init__(
        self, machine: Machine, first_use: FirstUse, data: DataFolder, read: Callable[[], Manifests]
    ) -> None:
        """`read` reads the manifests as they are now; `ManifestError`."""
        self._read = read
        self._machine = machine
        self._first_use = first_use
        self._data = data
        self._began_s = time.monotonic()

    def by_name(self) -> Mapping[str, Command]:
        """Every command under the name that a person types."""
        return {
            "status": self.status,
            "apply": self.apply,
            "dead-letters": self.dead_letters,
            "redeliver": self.redeliver,
            "events": self.events,
            "rebuild": self.rebuild,
            "api-key": self.api_key,
            "logs": self.logs,
        }

    async def status(self, words: Row) -> AsyncIterator[Row]:
        """Everything that runs, in one row."""
        yield {
            "services": self._machine.activator.status(),
            "triggers": [
                {
                    "name": one.trigger,
                    "broker": one.broker,
                    "lag": one.lag,
                    "waiting": one.waiting,
                    "taken": one.taken,
                    "failed": one.failed,
                    "dead_letters": one.dead,
                }
                for one in self._machine.eventing.lag()
            ],
            "runner": {
                "pid": os.getpid(),
                "memory_mb": round(own_memory_bytes() / 1e6, 1),
                "up_s": round(time.monotonic() - self._began_s, 1),
            },
        }

    async def apply(self, words: Row) -> AsyncIterator[Row]:
        """Read the manifests again, and do what has changed in them: a row an object."""
        try:
            for name, change in (await self._machine.apply(self._read)).items():
                yield {"object": name, "change": change}
        except ManifestError as error:
            raise CommandError(f"nothing is changed; the manifests can't be run here:\n{error}") from None
        except LogRefused as error:
            raise CommandError(f"the Broker's log took it not, or in part; say it again: {error}") from None

    async def dead_letters(self, words: Row) -> AsyncIterator[Row]:
        """One row an event that a Trigger gave up on."""
        for letter in await self._machine.eventing.dead_letters():
            yield _letter(letter)

    async def redeliver(self, words: Row) -> AsyncIterator[Row]:
        """Give one dead letter, or all, to their Triggers again."""
        try:
            number = None if words.get("id") is None else int(words["id"])
            count = await self._machine.eventing.redeliver(number)
        except ValueError:
            raise CommandError(f"{words['id']!r} is no dead letter's id; `dead-letters` lists them") from None
        except (LookupError, LogRefused) as error:
            raise CommandError(str(error)) from None
        yield {"redelivered": count}

    async def events(self, words: Row) -> AsyncIterator[Row]:
        """The last events, and with `follow` those that pass from now on."""
        for record in await self._machine.eventing.tail(int(words.get("count", 100))):
            yield _event(record)
        if words.get("follow"):
            async for record in self._machine.eventing.follow():
                yield _event(record)

    async def rebuild(self, words: Row) -> AsyncIterator[Row]:
        """Build history's read models anew."""
        try:
            async for text in self._first_use.rebuild():
                yield {"answer": text.strip()}
        except Refused as refusal:
            raise CommandError(str(refusal)) from None

    async def api_key(self, words: Row) -> AsyncIterator[Row]:
        """Make another admin API key."""
        try:
            made = await self._first_use.another_key(str(words["name"]))
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        yield {"api_key": made["api_key"], "name": made["name"]}

    async def logs(self, words: Row) -> AsyncIterator[Row]:
        """The last lines of a Service's log."""
        folder = self._data.path / "logs"
        path = folder / f"{words['service']}.log"
        known = sorted(each.stem for each in folder.glob("*.log"))
        if words["service"] not in known:
            raise CommandError(f"there is no log of {words['service']!r}; there are {', '.join(known)}")
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = deque(file, LOG_LINES)
        for line in lines:
            yield {"line": line.rstrip("\n")}


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "type": letter.record.attributes.get("type"),
        "event": letter.record.attributes.get("id"),
        "trigger": letter.trigger,
        "reason": letter.failure.reason,
        "sink": letter.sink,
        "time": _time(letter.at_ms),
    }


def _event(record: Record) -> dict[str, Any]:
    attributes = record.attributes
    named = {name: attributes.get(name) for name in ("type", "source", "subject", "id")}
    return {"time": _time(record.arrived_ms), "offset": record.offset, **named}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
