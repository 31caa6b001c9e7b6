"""The Triggers' checkpoints in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from scripts.local.eventing.log import Checkpoint

from .database import Database


class SqliteCheckpoints:
    """`Checkpoints` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> dict[str, Checkpoint]:
        """See `Checkpoints.load`."""
        return await self._database.read(_load)

    async def save(self, changed: dict[str, Checkpoint]) -> None:
        """See `Checkpoints.save`."""
        rows = [(name, at.broker, at.position, json.dumps(at.open)) for name, at in changed.items()]
        statement = "INSERT OR REPLACE INTO checkpoints (trigger, broker, position, open) VALUES (?, ?, ?, ?)"
        await self._database.write(lambda connection: connection.executemany(statement, rows))

    async def forget(self, triggers: Sequence[str]) -> None:
        """See `Checkpoints.forget`."""
        rows = [(name,) for name in triggers]
        statement = "DELETE FROM checkpoints WHERE trigger = ?"
        await self._database.write(lambda connection: connection.executemany(statement, rows))


def _load(connection: sqlite3.Connection) -> dict[str, Checkpoint]:
    rows = connection.execute("SELECT trigger, broker, position, open FROM checkpoints")
    return {
        name: Checkpoint(broker, position, tuple(json.loads(offsets)))
        for name, broker, position, offsets in rows
    }
