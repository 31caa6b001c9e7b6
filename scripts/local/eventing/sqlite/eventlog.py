"""The log of events in SQLite, with its newest part in memory."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from events import CloudEvent
from scripts.local.eventing.log import LogRefused
from scripts.local.eventing.record import Record, header_block, record_of, stored_record

from .database import Database
from .tail import Tail, Watcher

OFFSET_BITS = 40
"""A row's key is its Broker's number and, in the lower 40 bits, its offset: one range a Broker."""
PENDING_BYTES = 64 * 1_048_576
"""What may wait for the disk; an event beyond it is refused rather than held in memory."""
LINGER_S = 0.01
"""Under load a commit waits so long, while more comes, to share its fsync; a lone event never waits."""
QUIET_S = 0.001
"""Nothing for so long: no more comes."""
UNDER_LOAD = 4
"""Appends in the last commit from which there is load."""
ROWS_A_STATEMENT = 32
"""Each statement hands the interpreter's lock over and back, which costs more than the rows in it."""
BYTES_A_BATCH = 16 * 1_048_576
COLUMNS = "position, arrived_ms, headers, data"

Row = tuple[int, int, bytes, bytes]


class SqliteEventLog:
    """`EventLog` over a `Database`; appends that wait together become one statement and one fsync."""

    def __init__(self, database: Database, brokers: Sequence[str]) -> None:
        self._database = database
        self._names = tuple(brokers)
        self._numbers: dict[str, int] = {}
        self._tails: dict[str, Tail] = {}
        self._next: dict[str, int] = {}
        self._waiting: deque[_Append] = deque()
        self._waiting_bytes = 0
        self._scheduled = False
        self._last_appends = 0

    async def open(self) -> None:
        """Find where each Broker's log ends. `LogRefused`."""
        for name in self._names:
            await self.add(name)

    async def add(self, name: str) -> None:
        """Open the log of one more Broker; twice is harmless. `LogRefused`."""
        if name in self._tails:
            return
        number, end = await self._database.write(partial(_broker, name=name))
        self._numbers[name] = number
        self._tails[name] = Tail(end)
        self._next[name] = end

    def append(self, broker: str, events: Sequence[CloudEvent]) -> asyncio.Future[None]:
        """See `EventLog.append`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not events:
            done.set_result(None)
            return done
        if self._waiting_bytes > PENDING_BYTES:
            done.set_exception(LogRefused("the disk is too slow for what comes in"))
            return done
        offset, arrived_ms = self._next[broker], time.time_ns() // 1_000_000
        self._next[broker] = offset + len(events)
        records = [record_of(event, offset + place, arrived_ms) for place, event in enumerate(events)]
        entry = _Append(broker, self._numbers[broker] << OFFSET_BITS, records, done)
        self._waiting_bytes += entry.size_bytes
        self._waiting.append(entry)
        self._schedule()
        return done

    async def read(self, broker: str, start: int, limit: int, max_bytes: int) -> list[Record]:
        """See `EventLog.read`."""
        tail = self._tails[broker]
        records = tail.since(start, limit, max_bytes)
        if records is not None:
            return records
        base = self._numbers[broker] << OFFSET_BITS
        query = f"SELECT {COLUMNS} FROM events WHERE position >= ? AND position < ? ORDER BY position LIMIT ?"  # noqa: S608
        span = (base + start, base + tail.end, limit)
        return await self._database.read(
            lambda connection: _fetch(connection.execute(query, span), max_bytes)
        )

    async def pick(self, broker: str, offset: int) -> Record | None:
        """See `EventLog.pick`."""
        found = await self.read(broker, offset, 1, 0)
        return found[0] if found and found[0].offset == offset else None

    def end(self, broker: str) -> int:
        """See `EventLog.end`."""
        return self._tails[broker].end

    def watch(self, broker: str, appended: Watcher) -> Callable[[], None]:
        """See `EventLog.watch`."""
        watchers = self._tails[broker].watchers
        watchers.append(appended)
        return lambda: watchers.remove(appended) if appended in watchers else None

    async def delete_before(self, broker: str, offset: int, arrived_ms: int | None, limit: int) -> int:
        """Delete the oldest events below `offset` (that came before `arrived_ms`), at most `limit`; how many.

        The newest event always stays: it says where the log ends. `LogRefused`.
        """
        base = self._numbers[broker] << OFFSET_BITS
        below = base + min(offset, self.end(broker) - 1)
        query = (
            "DELETE FROM events WHERE position IN (SELECT position FROM ("
            "SELECT position, arrived_ms FROM events WHERE position >= ? AND position < ?"
            " ORDER BY position LIMIT ?) WHERE ? IS NULL OR arrived_ms < ?)"
        )
        values = (base, below, limit, arrived_ms, arrived_ms)
        return await self._database.write(lambda connection: connection.execute(query, values).rowcount)

    async def used_bytes(self) -> int:
        """What the file holds, without what deletions have freed in it."""
        return await self._database.read(_used_bytes)

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        if self._last_appends >= UNDER_LOAD:
            self._linger(0, asyncio.get_running_loop().time() + LINGER_S)
        else:
            self._commit()

    def _linger(self, seen: int, until: float) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) == seen or loop.time() >= until:
            self._commit()
        else:
            loop.call_later(QUIET_S, self._linger, len(self._waiting), until)

    def _commit(self) -> None:
        batch: list[_Append] = []

        def store(connection: sqlite3.Connection) -> None:
            if not batch:  # else this is the second try, alone, of the same batch
                self._scheduled = False
                self._drain(batch)
            _insert(connection, [row for entry in batch for row in entry.rows()])

        self._database.write(store).add_done_callback(lambda future: self._stored(batch, future.exception()))

    def _drain(self, batch: list[_Append]) -> None:
        """Take what waits, in the writer's thread: the loop only ever adds at the other end."""
        size = 0
        while self._waiting and size < BYTES_A_BATCH:
            batch.append(self._waiting.popleft())
            size += batch[-1].size_bytes

    def _stored(self, batch: list[_Append], error: BaseException | None) -> None:
        if self._waiting:
            self._schedule()
        self._last_appends = len(batch)
        self._waiting_bytes -= sum(entry.size_bytes for entry in batch)
        by_broker: dict[str, list[Record]] = {}
        for entry in batch:
            if error is None:
                by_broker.setdefault(entry.broker, []).extend(entry.records)
            if entry.done.done():
                continue
            if error is None:
                entry.done.set_result(None)
            else:
                entry.done.set_exception(LogRefused(f"the log took nothing: {error}"))
        for broker, records in by_broker.items():
            self._tails[broker].extend(records)


class _Append:
    """One call of `append` on its way to the disk."""

    __slots__ = ("_base", "broker", "done", "records", "size_bytes")

    def __init__(self, broker: str, base: int, records: list[Record], done: asyncio.Future[None]) -> None:
        self.broker = broker
        self.records = records
        self.done = done
        self.size_bytes = sum(record.size_bytes for record in records)
        self._base = base

    def rows(self) -> Iterable[Row]:
        return [
            (self._base + record.offset, record.arrived_ms, header_block(record.headers), record.data)
            for record in self.records
        ]


def _insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    for first in range(0, len(rows), ROWS_A_STATEMENT):
        part = rows[first : first + ROWS_A_STATEMENT]
        values = ",".join(["(?,?,?,?)"] * len(part))
        statement = f"INSERT INTO events ({COLUMNS}) VALUES {values}"  # noqa: S608  no text but ours
        connection.execute(statement, [cell for row in part for cell in row])


def _fetch(rows: Iterable[Row], max_bytes: int) -> list[Record]:
    """Rows as records; stops reading once there are more bytes than asked for."""
    records: list[Record] = []
    size = 0
    for position, arrived_ms, block, data in rows:
        record = stored_record(position & ((1 << OFFSET_BITS) - 1), arrived_ms, block, data)
        size += record.size_bytes
        if records and size > max_bytes:
            break
        records.append(record)
    return records


def _broker(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    connection.execute("INSERT OR IGNORE INTO brokers (name) VALUES (?)", (name,))
    number: int = connection.execute("SELECT id FROM brokers WHERE name = ?", (name,)).fetchone()[0]
    base = number << OFFSET_BITS
    query = "SELECT max(position) FROM events WHERE position >= ? AND position < ?"
    last: int | None = connection.execute(query, (base, base + (1 << OFFSET_BITS))).fetchone()[0]
    return number, 0 if last is None else last - base + 1


def _used_bytes(connection: sqlite3.Connection) -> int:
    page, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(page * (pages - free))
