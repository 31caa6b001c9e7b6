"""`Store` in collections of a MongoDB database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from functions._runtime.adapters.mongodb.database import Database
from functions._runtime.adapters.mongodb.documents import MongodbDocuments
from functions._runtime.adapters.mongodb.event_store import MongodbEventStore
from functions._runtime.ports import Documents, EventStore
from functions._runtime.store import store_name


class MongodbStore:
    """Event stores and collections as collections of `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def event_store(self, name: str) -> EventStore:
        """The event store `name`."""
        return MongodbEventStore(self._database, store_name(name))

    def documents(self, collection: str, indexes: tuple[str, ...] = ()) -> Documents:
        """The collection; an index that is declared for the first time is built over what stands."""
        return MongodbDocuments(self._database, store_name(collection), indexes)

    async def check(self) -> None:
        """Return if the server takes writes; see `Database.check`."""
        await self._database.check()


@asynccontextmanager
async def open_mongodb(url: str, prefix: str) -> AsyncIterator[MongodbStore]:
    """The store in the collections `<prefix>.…` of the database that `url` names.

    Raises:
        Unavailable: it can't be used; the message says why, and never the password.
    """
    database = Database(url, prefix)
    try:
        await database.check()
        yield MongodbStore(database)
    finally:
        await database.close()
