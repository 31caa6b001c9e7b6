"""One MongoDB database: durable writes, reads of what can't be taken back, and errors in our words.

Nothing here asks for more than the atomicity of one document: no transaction, no session, no replica set. A
write is answered when a majority has it in its journal; a read sees nothing that a failover could undo.
"""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import unquote, urlsplit

from pymongo import AsyncMongoClient, IndexModel, timeout
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from functions._runtime.adapters.unanswered import Unanswered
from functions._runtime.errors import PayloadTooLarge, Unavailable

POOL_CONNECTIONS = 8
POOL_WAIT_MS = 5_000
CONNECT_TIMEOUT_MS = 5_000
OPERATION_TIMEOUT_MS = 5_000
"""With all that the client tries again by itself; most failovers to another member fit in."""
DEFINE_TIMEOUT_S = 600.0
"""An index over all that stands may take longer than an answer."""

Collection = AsyncCollection[dict[str, Any]]

_AWAY = "The store can't be used now."
_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13


class Database:
    """The database that `url` names; the names of its collections begin with `prefix` and a dot.

    Raises:
        Unavailable: the address has an option that MongoDB doesn't know.
    """

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        self._prefix = prefix
        self._user = unquote(parts.username or "") or "a client without a name"
        self._server = "MongoDB at " + parts.netloc.rpartition("@")[2]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # else an option that is misspelt is left out
                self._client = _client(url, f"hadal {prefix}")
        except (ConfigurationError, ValueError, UserWarning):
            raise Unavailable(
                f"{self._server}: what stands behind the ? of HADAL_STORE isn't understood."
            ) from None
        self._database = self._client.get_default_database()

    def collection(self, name: str) -> Collection:
        """The collection `name` of this function."""
        return self._database[f"{self._prefix}.{name}"]

    async def check(self) -> None:
        """Return if there is a server that takes writes, and lets us in.

        Raises:
            Unavailable: there is none; the message says why, and never the password.
        """
        try:
            await self.collection("check").find_one()
        except OperationFailure as error:
            if error.code in (_AUTHENTICATION_FAILED, _UNAUTHORIZED):
                raise Unavailable(
                    f"{self._server} doesn't let {self._user} use {self._database.name}:"
                    " correct user, password or authSource in HADAL_STORE, or grant readWrite."
                ) from None
            raise Unavailable(f"{self._server} answered with error {error.code}.") from None
        except PyMongoError:
            raise Unavailable(f"{self._server} can't be reached, or has no primary.") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _client(url: str, name: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        url,
        appname=name,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        readPreference="primary",
        maxPoolSize=POOL_CONNECTIONS,
        waitQueueTimeoutMS=POOL_WAIT_MS,
        connectTimeoutMS=CONNECT_TIMEOUT_MS,
        serverSelectionTimeoutMS=OPERATION_TIMEOUT_MS,
        timeoutMS=OPERATION_TIMEOUT_MS,
    )


class Indexed:
    """A collection whose indexes are made before its first use; twice is harmless."""

    def __init__(self, collection: Collection, indexes: list[IndexModel]) -> None:
        self._collection = collection
        self._indexes = indexes
        self._are_there = False

    async def ready(self) -> Collection:
        """The collection.

        Raises:
            Unavailable: the indexes can't be made now.
        """
        if not self._are_there:
            if self._indexes:
                with translated(), timeout(DEFINE_TIMEOUT_S):
                    await self._collection.create_indexes(self._indexes)
            self._are_there = True
        return self._collection


class translated:  # noqa: N801  (reads as a phrase: `with translated()`)
    """Turns the client's exceptions into ours, without their text.

    A `DuplicateKeyError` passes: what stands in the way has a meaning where the write was made.
    """

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, DocumentTooLarge):
            raise PayloadTooLarge("The store takes at most 16 MB in one write; write less at once.") from None
        if not isinstance(error, PyMongoError) or isinstance(error, DuplicateKeyError):
            return
        if isinstance(error, ServerSelectionTimeoutError | WaitQueueTimeoutError):
            raise Unavailable(_AWAY) from None
        if isinstance(error, AutoReconnect | ConnectionFailure | WTimeoutError) or error.timeout:
            raise Unanswered(_AWAY) from None
        raise Unavailable(_AWAY) from None
