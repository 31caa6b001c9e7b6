"""The tables of one event store or collection, made before the first statement about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg

from functions._runtime.adapters.postgresql.database import Database, Relation


class Tables:
    """`relations` of `database`; one that isn't there is made at the first use."""

    def __init__(self, database: Database, relations: Sequence[Relation]) -> None:
        self._database = database
        self._relations = relations
        self._defining = asyncio.Lock()
        self._are_there = False

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement; see `Database.fetch`."""
        if not self._are_there:
            async with self._defining:
                if not self._are_there:
                    await self._database.define(self._relations)
                    self._are_there = True
        return await self._database.fetch(query, *values)
