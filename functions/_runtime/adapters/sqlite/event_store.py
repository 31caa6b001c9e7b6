"""`EventStore` in SQLite: a row an event, a row in the outbox while it isn't published.

Positions come from AUTOINCREMENT inside the write lock, so a position is never visible before a lower one:
`read_all` skips nothing that commits later, whichever process wrote it.
"""

from __future__ import annotations

# ruff: noqa: S608  the names of tables and fields have been checked; every value is bound
import sqlite3
from collections.abc import Sequence

from events import CloudEvent
from functions._runtime.adapters.sqlite.database import Database
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Recorded
from functions._runtime.stored_event import from_columns, to_columns


class SqliteEventStore:
    """The tables `<name>_events` and `<name>_outbox` of `database`."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        events, outbox = f"{name}_events", f"{name}_outbox"
        columns = "e.stream, e.version, e.position, e.attributes, e.data"

        def define(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {events} (position INTEGER PRIMARY KEY AUTOINCREMENT,"
                " stream TEXT NOT NULL, version INTEGER NOT NULL, attributes BLOB NOT NULL, data BLOB,"
                " UNIQUE (stream, version)) STRICT"
            )
            connection.execute(f"CREATE TABLE IF NOT EXISTS {outbox} (position INTEGER PRIMARY KEY) STRICT")

        database.define(define)
        self._version = f"SELECT coalesce(max(version), 0) FROM {events} WHERE stream = ?"
        self._insert = f"INSERT INTO {events} (stream, version, attributes, data) VALUES (?, ?, ?, ?)"
        self._queue = f"INSERT INTO {outbox} (position) VALUES (?)"
        self._stream = f"SELECT {columns} FROM {events} e WHERE stream = ? AND version > ? ORDER BY version"
        self._all = f"SELECT {columns} FROM {events} e WHERE position > ? ORDER BY position LIMIT ?"
        self._waiting = (
            f"SELECT {columns} FROM {outbox} o JOIN {events} e USING (position) ORDER BY o.position LIMIT ?"
        )
        self._published = f"DELETE FROM {outbox} WHERE position = ?"

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Add `events` and their outbox entries in one transaction; see the port."""
        rows = [
            (stream, version, *to_columns(event))
            for version, event in enumerate(events, expected_version + 1)
        ]

        def work(connection: sqlite3.Connection) -> int:
            (version,) = connection.execute(self._version, (stream,)).fetchone()
            if version != expected_version:
                raise VersionConflict(f"The stream is at version {version}, not {expected_version}.")
            for row in rows:
                position = connection.execute(self._insert, row).lastrowid
                connection.execute(self._queue, (position,))
            return expected_version + len(rows)

        return await self._database.write(work)

    async def read(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The stream's events behind `after_version`."""
        return await self._recorded(self._stream, (stream, after_version))

    async def read_all(self, after_position: int, limit: int) -> list[Recorded]:
        """Events of all streams behind `after_position`."""
        return await self._recorded(self._all, (after_position, limit))

    async def unpublished(self, limit: int) -> list[Recorded]:
        """The outbox, oldest first."""
        return await self._recorded(self._waiting, (limit,))

    async def mark_published(self, events: Sequence[Recorded]) -> None:
        """Take `events` out of the outbox."""
        positions = [(event.position,) for event in events]
        if positions:
            await self._database.write(lambda connection: connection.executemany(self._published, positions))

    async def _recorded(self, query: str, values: tuple[object, ...]) -> list[Recorded]:
        rows = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [
            Recorded(stream, version, position, from_columns(attributes, data))
            for stream, version, position, attributes, data in rows
        ]
