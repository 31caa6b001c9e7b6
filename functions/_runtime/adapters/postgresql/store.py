"""`Store` in one schema of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from functions._runtime.adapters.postgresql.database import Database
from functions._runtime.adapters.postgresql.documents import PostgresqlDocuments
from functions._runtime.adapters.postgresql.event_store import PostgresqlEventStore
from functions._runtime.ports import Documents, EventStore
from functions._runtime.store import store_name


class PostgresqlStore:
    """Event stores and collections as tables of `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def event_store(self, name: str) -> EventStore:
        """The event store `name`."""
        return PostgresqlEventStore(self._database, store_name(name))

    def documents(self, collection: str, indexes: tuple[str, ...] = ()) -> Documents:
        """The collection; an index that is declared for the first time is built over what stands."""
        return PostgresqlDocuments(self._database, store_name(collection), indexes)

    async def check(self) -> None:
        """Return if the server takes writes; see `Database.check`."""
        await self._database.check()


@asynccontextmanager
async def open_postgresql(url: str, schema: str) -> AsyncIterator[PostgresqlStore]:
    """The store in `schema` of the database at `url`.

    Raises:
        Unavailable: it can't be used; the message says why, and never the password.
    """
    database = Database(url, schema)
    try:
        await database.check()
        yield PostgresqlStore(database)
    finally:
        await database.close()
