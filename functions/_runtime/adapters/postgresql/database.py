"""One PostgreSQL database: a bounded pool, one statement an operation, and errors in our words.

Every operation is one statement in a transaction of its own, so nothing is ever half done, whenever the
client dies, and no connection has a state that would have to be reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from functions._runtime.adapters.unanswered import Unanswered
from functions._runtime.errors import PayloadTooLarge, Unavailable

POOL_CONNECTIONS = 8
CONNECT_TIMEOUT_S = 5.0
POOL_WAIT_S = 5.0
STATEMENT_TIMEOUT_MS = 10_000
ANSWER_TIMEOUT_S = 12.0
"""Longer than a statement may take: only a server that is gone leaves a question open."""
DEFINE_TIMEOUT_S = 600.0
"""An index over all that stands may take longer than an answer."""

_AWAY = "The store can't be used now."
_DEFINING = 0x486164616C  # "Hadal", the advisory lock under which tables are made


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or an index: the statement that makes it, run where `name` isn't there."""

    name: str
    definition: str


class Database:
    """The database at `url`; `schema` is made in it where it isn't there."""

    def __init__(self, url: str, schema: str) -> None:
        self.schema = schema
        self._address = _Address(url)
        self._pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=POOL_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_TIMEOUT_S,
            reset=_nothing_to_reset,
            server_settings={
                "application_name": f"hadal {schema}",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            },
        )
        self._opening = asyncio.Lock()
        self._is_open = False

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement, committed.

        Raises:
            asyncpg.UniqueViolationError: a row with this key stands; nothing was written.
            PayloadTooLarge: an index doesn't take a key of this length.
            Unanswered: the connection was lost; a write may stand or not.
            Unavailable: PostgreSQL can't be reached or refused; nothing was written.
        """
        connection = await self._connection()
        try:
            return list(await connection.fetch(query, *values))
        except asyncpg.UniqueViolationError:
            raise
        except asyncpg.ProgramLimitExceededError:
            raise PayloadTooLarge(
                "A key or an indexed text is too long for the store; up to 2,000 bytes are sure to be taken."
            ) from None
        except _LOST:
            raise Unanswered(_AWAY) from None
        except asyncpg.PostgresError:
            raise Unavailable(_AWAY) from None
        finally:
            await self._pool.release(connection)

    async def check(self) -> None:
        """Return if the database can be reached and takes writes.

        Raises:
            Unavailable: it doesn't; the message says why, and never the password.
        """
        try:
            connection = await self._pool_connection()
        except (*_FAILURES, *_WRONG) as error:
            raise Unavailable(self._address.said(error)) from None
        try:
            is_standby = await connection.fetchval(
                "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
            )
        except _FAILURES as error:
            raise Unavailable(self._address.said(error)) from None
        finally:
            await self._pool.release(connection)
        if is_standby:
            raise Unavailable(f"{self._address.server} takes no writes: it is a standby or set to read only.")

    async def define(self, relations: Sequence[Relation]) -> None:
        """Make what isn't there yet; processes that begin at once make it once.

        Raises:
            Unavailable: it can't be made; the message says what is missing.
        """
        names = [f'"{self.schema}".{relation.name}' for relation in relations]
        rows = await self.fetch("SELECT to_regclass(name) FROM unnest($1::text[]) AS name", names)
        if all(row[0] is not None for row in rows):
            return
        connection = await self._connection()
        try:
            async with connection.transaction():
                await self._make(connection, relations, names)
        except asyncpg.InsufficientPrivilegeError:
            raise Unavailable(
                f"{self._address.server}: {self._address.user} may not make what is missing in schema"
                f" {self.schema}. Let its owner run: GRANT CREATE ON DATABASE {self._address.database}"
                f" TO {self._address.user}."
            ) from None
        except _FAILURES:
            raise Unavailable(_AWAY) from None
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Close the connections."""
        if self._is_open:
            self._pool.terminate()  # nothing is in progress any more: there is nothing to be polite about

    async def _make(
        self, connection: asyncpg.Connection, relations: Sequence[Relation], names: Sequence[str]
    ) -> None:
        await connection.execute(f"SET LOCAL statement_timeout = '{DEFINE_TIMEOUT_S:g}s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _DEFINING, timeout=DEFINE_TIMEOUT_S)
        if await connection.fetchval("SELECT to_regnamespace($1)", f'"{self.schema}"') is None:
            await connection.execute(f'CREATE SCHEMA "{self.schema}"')
        for relation, name in zip(relations, names, strict=True):
            if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                await connection.execute(relation.definition, timeout=DEFINE_TIMEOUT_S)

    async def _connection(self) -> asyncpg.Connection:
        try:
            return await self._pool_connection()
        except (*_FAILURES, *_WRONG):
            raise Unavailable(_AWAY) from None

    async def _pool_connection(self) -> asyncpg.Connection:
        async with self._opening:
            if not self._is_open:
                await self._pool
                self._is_open = True
        return await self._pool.acquire(timeout=POOL_WAIT_S)


class _Address:
    """What may be told of the store's address: all but the password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.user = unquote(parts.username or "") or "the default user"
        self.database = unquote(parts.path.lstrip("/"))
        self.server = "PostgreSQL at " + parts.netloc.rpartition("@")[2]

    def said(self, error: Exception) -> str:
        """Why it can't be used, and what would be right."""
        if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
            return f"{self.server} doesn't let {self.user} in: correct user or password in HADAL_STORE."
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            return f"{self.server} has no database {self.database}: make it, or correct HADAL_STORE."
        if isinstance(error, asyncpg.TooManyConnectionsError):
            return f"{self.server} has no connection left: raise max_connections, or run fewer replicas."
        if isinstance(error, asyncpg.CannotConnectNowError):
            return f"{self.server} is starting or stopping."
        if isinstance(error, asyncpg.UndefinedObjectError | asyncpg.ClientConfigurationError):
            return f"{self.server} doesn't know an option behind the ? of HADAL_STORE."
        return f"{self.server} can't be reached."


async def _nothing_to_reset(_: object) -> None:
    """Instead of the pool's own statements after each use, which would be a second round trip."""


_LOST = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_FAILURES = (*_LOST, asyncpg.PostgresError)
_WRONG = (asyncpg.ClientConfigurationError, ValueError)
