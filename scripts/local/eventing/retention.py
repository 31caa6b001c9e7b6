"""What of the log is kept: all that a Trigger still needs, and more as long as age and size allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .sqlite.eventlog import SqliteEventLog

DELETED_AT_ONCE = 5_000
"""Rows a transaction: appends wait for it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long, and how big, a log may grow with events that every Trigger is done with."""

    age_s: float = 7 * 86_400.0
    size_bytes: int = 1_073_741_824
    interval_s: float = 30.0
    """How often it is looked at."""

    async def apply(
        self, events: SqliteEventLog, needed: dict[str, int], now_s: Callable[[], float] = time.time
    ) -> int:
        """Delete what is over the bounds and below the offset `needed` of each Broker; how many."""
        too_old_ms = int((now_s() - self.age_s) * 1_000)
        deleted = 0
        for broker, offset in needed.items():
            while count := await events.delete_before(broker, offset, too_old_ms, DELETED_AT_ONCE):
                deleted += count
            while await events.used_bytes() > self.size_bytes:
                count = await events.delete_before(broker, offset, None, DELETED_AT_ONCE)
                if not count:
                    break
                deleted += count
        return deleted
