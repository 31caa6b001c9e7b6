"""The newest part of a Broker's log, in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import itemgetter

from scripts.local.eventing.record import Record

TAIL_BYTES = 4 * 1_048_576
TAIL_RECORDS = 2_048

Watcher = Callable[[Sequence[Record]], None]


class Tail:
    """A Broker's newest durable records, for readers that keep up: they need no query."""

    __slots__ = ("_bytes", "_floor", "_records", "end", "watchers")

    def __init__(self, end: int) -> None:
        self.end = end
        self.watchers: list[Watcher] = []
        self._floor = end
        self._records: list[Record] = []
        self._bytes = 0

    def extend(self, records: Sequence[Record]) -> None:
        """Add what became durable; beyond twice its bounds the tail lets go of the older half."""
        self._records.extend(records)
        self._bytes += sum(record.size_bytes for record in records)
        self.end = records[-1].offset + 1
        if self._bytes > 2 * TAIL_BYTES or len(self._records) > 2 * TAIL_RECORDS:
            self._trim()
        for watcher in tuple(self.watchers):
            watcher(records)

    def since(self, start: int, limit: int, max_bytes: int) -> list[Record] | None:
        """Records from `start` on, or None where the tail doesn't reach back so far."""
        if start < self._floor:
            return None
        first = bisect_left(self._records, start, key=itemgetter(0))
        return _bounded(self._records[first : first + limit], max_bytes)

    def _trim(self) -> None:
        kept = len(self._records)
        while kept and (self._bytes > TAIL_BYTES or kept > TAIL_RECORDS):
            self._bytes -= self._records[-kept].size_bytes
            kept -= 1
        self._records = self._records[len(self._records) - kept :]
        self._floor = self._records[0].offset if self._records else self.end


def _bounded(records: list[Record], max_bytes: int) -> list[Record]:
    size = 0
    for count, record in enumerate(records):
        size += record.size_bytes
        if count and size > max_bytes:
            return records[:count]
    return records
