"""The dead letters in SQLite."""

from __future__ import annotations

from typing import Any

from scripts.local.eventing.log import DeadLetter, Failure
from scripts.local.eventing.record import header_block, stored_record

from .database import Database

CONTENT = "trigger, broker, event, arrived_ms, headers, data, at_ms, reason, destination, code, body, sink"
PUT = (
    f"INSERT INTO dead_letters ({CONTENT}) VALUES ({','.join('?' * 12)})"  # noqa: S608
    " ON CONFLICT (trigger, event) DO UPDATE SET at_ms = excluded.at_ms, reason = excluded.reason,"
    " destination = excluded.destination, code = excluded.code, body = excluded.body, sink = excluded.sink"
)


class SqliteDeadLetters:
    """`DeadLetters` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, letter: DeadLetter) -> None:
        """See `DeadLetters.put`."""
        record, failure = letter.record, letter.failure
        row = (
            *(letter.trigger, letter.broker, record.offset, record.arrived_ms),
            *(header_block(record.headers), record.data, letter.at_ms),
            *(failure.reason, failure.destination, failure.code, failure.data, letter.sink),
        )
        await self._database.write(lambda connection: connection.execute(PUT, row).rowcount)

    async def get(self, ident: int) -> DeadLetter | None:
        """See `DeadLetters.get`."""
        query = f"SELECT id, {CONTENT} FROM dead_letters WHERE id = ?"  # noqa: S608
        row = await self._database.read(lambda connection: connection.execute(query, (ident,)).fetchone())
        return _letter(row) if row else None

    async def list(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """See `DeadLetters.list`."""
        query = f"SELECT id, {CONTENT} FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
        rows = await self._database.read(
            lambda connection: connection.execute(query, (after, limit)).fetchall()
        )
        return [_letter(row) for row in rows]

    async def remove(self, ident: int) -> None:
        """See `DeadLetters.remove`."""
        statement = "DELETE FROM dead_letters WHERE id = ?"
        await self._database.write(lambda connection: connection.execute(statement, (ident,)).rowcount)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    ident, trigger, broker, offset, arrived_ms, block, data, at_ms, reason, destination, code, body, sink = (
        row
    )
    record = stored_record(offset, arrived_ms, block, data)
    return DeadLetter(trigger, broker, record, Failure(reason, destination, code, body), at_ms, sink, ident)
