"""`EventStore` in PostgreSQL: a row an event, a row in the outbox while it isn't published.

An append is one statement: it checks the stream's version, takes its positions, writes events and outbox. A
position comes from a row that every append of the store counts up; the lock of that row is held until the
commit, so a position is never visible before a lower one and `read_all` skips nothing that commits later. (A
sequence would give positions that become visible in any order; to read only below the oldest transaction
under way would let one forgotten transaction of anybody in the database's cluster hold up every reader.) What
that costs: one event store commits one append after the other, some hundreds to thousands in a second.
"""

from __future__ import annotations

# ruff: noqa: S608  the names of schema and tables have been checked; every value is bound
from collections.abc import Sequence

import asyncpg

from events import CloudEvent
from functions._runtime.adapters.postgresql.database import Database, Relation
from functions._runtime.adapters.postgresql.tables import Tables
from functions._runtime.adapters.postgresql.text import kept_text, text_of
from functions._runtime.adapters.unanswered import answered
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Recorded
from functions._runtime.stored_event import from_columns, to_columns


class PostgresqlEventStore:
    """The tables `<name>_events`, `<name>_outbox` and `<name>_position` of the function's schema."""

    def __init__(self, database: Database, name: str) -> None:
        events, outbox, position = (
            f'"{database.schema}".{name}_{each}' for each in ("events", "outbox", "position")
        )
        self._tables = Tables(database, _relations(name, events, outbox, position))
        self._append = f"""
            WITH counted AS (
                UPDATE {position} SET last = last + cardinality($3::text[])
                WHERE $2 = (SELECT coalesce(max(version), 0) FROM {events} WHERE stream = $1)
                RETURNING last - cardinality($3::text[]) AS before
            ), written AS (
                INSERT INTO {events} (position, stream, version, attributes, data)
                SELECT before + n, $1, $2::bigint + n, attributes, data
                FROM counted, unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS new (attributes, data, n)
                RETURNING position
            ), queued AS (
                INSERT INTO {outbox} (position) SELECT position FROM written
            )
            SELECT before FROM counted"""
        columns = "stream, version, position, attributes, data"
        self._stream = f"SELECT {columns} FROM {events} WHERE stream = $1 AND version > $2 ORDER BY version"
        self._all = f"SELECT {columns} FROM {events} WHERE position > $1 ORDER BY position LIMIT $2"
        self._waiting = (
            f"SELECT {columns} FROM {outbox} JOIN {events} USING (position) ORDER BY position LIMIT $1"
        )
        self._published = f"DELETE FROM {outbox} WHERE position = ANY($1::bigint[])"

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Add `events` and their outbox entries in one statement; see the port."""
        columns = [to_columns(event) for event in events]
        attributes, data = [each.decode() for each, _ in columns], [each for _, each in columns]
        version = expected_version + len(events)

        async def write() -> int:
            try:
                rows = await self._tables.fetch(
                    self._append, kept_text(stream), expected_version, attributes, data
                )
            except asyncpg.UniqueViolationError:  # another one was under way when this one looked
                rows = []
            if not rows:
                raise VersionConflict(f"The stream isn't at version {expected_version}.")
            return version

        async def own() -> bool:
            standing = await self.read(stream, expected_version)
            return [each.event for each in standing[: len(events)]] == list(events)

        return await answered(write, own, version)

    async def read(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The stream's events behind `after_version`."""
        return await self._recorded(self._stream, kept_text(stream), after_version)

    async def read_all(self, after_position: int, limit: int) -> list[Recorded]:
        """Events of all streams behind `after_position`."""
        return await self._recorded(self._all, after_position, limit)

    async def unpublished(self, limit: int) -> list[Recorded]:
        """The outbox, oldest first."""
        return await self._recorded(self._waiting, limit)

    async def mark_published(self, events: Sequence[Recorded]) -> None:
        """Take `events` out of the outbox."""
        if events:
            await self._tables.fetch(self._published, [event.position for event in events])

    async def _recorded(self, query: str, *values: object) -> list[Recorded]:
        return [
            Recorded(text_of(stream), version, position, from_columns(attributes.encode(), data))
            for stream, version, position, attributes, data in await self._tables.fetch(query, *values)
        ]


def _relations(name: str, events: str, outbox: str, position: str) -> tuple[Relation, ...]:
    return (
        Relation(
            f"{name}_events",
            f'CREATE TABLE {events} (position bigint PRIMARY KEY, stream text COLLATE "C" NOT NULL,'
            " version bigint NOT NULL, attributes text NOT NULL, data bytea, UNIQUE (stream, version))",
        ),
        Relation(f"{name}_outbox", f"CREATE TABLE {outbox} (position bigint PRIMARY KEY)"),
        Relation(
            f"{name}_position",  # with room in its page, so that counting up leaves no litter behind
            f"CREATE TABLE {position} (last bigint NOT NULL) WITH (fillfactor = 10);"
            f" INSERT INTO {position} VALUES (0)",
        ),
    )
