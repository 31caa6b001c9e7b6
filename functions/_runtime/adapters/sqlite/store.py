"""`Store` in one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from functions._runtime.adapters.sqlite.database import Database
from functions._runtime.adapters.sqlite.documents import SqliteDocuments
from functions._runtime.adapters.sqlite.event_store import SqliteEventStore
from functions._runtime.ports import Documents, EventStore
from functions._runtime.store import store_name


class SqliteStore:
    """Event stores and collections as tables of `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def event_store(self, name: str) -> EventStore:
        """The event store `name`, its tables made where they aren't there."""
        return SqliteEventStore(self._database, store_name(name))

    def documents(self, collection: str, indexes: tuple[str, ...] = ()) -> Documents:
        """The collection; an index that is declared for the first time is built over what stands."""
        return SqliteDocuments(self._database, store_name(collection), indexes)

    async def check(self) -> None:
        """Write nothing, durably: it fails where a write would."""
        await self._database.write(_touch)


def _touch(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


@asynccontextmanager
async def open_sqlite(path: str) -> AsyncIterator[SqliteStore]:
    """The store in the file at `path`.

    Raises:
        Unavailable: it can't be opened.
    """
    database = await asyncio.to_thread(Database, path)
    try:
        yield SqliteStore(database)
    finally:
        await database.close()
