"""`Documents` in PostgreSQL: a row a document, and an index over an expression for each declared field.

A declared field is read out of the JSON by the index itself, so it covers what stands and whatever a process
of the version before, which doesn't know of it, still writes. Its JSON text is compared (`"5"`, not `5`), so
that only text equals text.
"""

from __future__ import annotations

# ruff: noqa: S608  the names of schema, tables and fields have been checked; every value is bound
import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg

from functions._runtime.adapters.postgresql.database import Database, Relation
from functions._runtime.adapters.postgresql.tables import Tables
from functions._runtime.adapters.postgresql.text import kept_json, kept_text, text_of, value_of
from functions._runtime.adapters.unanswered import answered
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document
from functions._runtime.store import store_name


class PostgresqlDocuments:
    """The table `<collection>_documents` of the function's schema.

    `writer` names the write that made a version, so that one whose answer was lost is known again.
    """

    def __init__(self, database: Database, collection: str, indexes: tuple[str, ...]) -> None:
        self._table = table = f'"{database.schema}".{collection}_documents'
        self._indexes = tuple(store_name(index) for index in indexes)
        definitions = [
            Relation(
                f"{collection}_documents",
                f'CREATE TABLE {table} (key text COLLATE "C" PRIMARY KEY, version bigint NOT NULL,'
                " body json NOT NULL, writer uuid NOT NULL)",
            )
        ]
        for index in self._indexes:
            name = f"{collection}_by_{index}"
            definitions.append(
                Relation(name, f"CREATE INDEX {name} ON {table} (((body -> '{index}')::text), key)")
            )
        self._tables = Tables(database, definitions)
        new = f"INSERT INTO {table} AS kept (key, version, body, writer) VALUES ($1, 1, $2, $3)"
        changed = "SET version = kept.version + 1, body = $2, writer = $3"
        self._create = f"{new} ON CONFLICT DO NOTHING RETURNING version"
        self._replace = (
            f"UPDATE {table} AS kept {changed} WHERE key = $1 AND version = $4::bigint RETURNING version"
        )
        self._write = f"{new} ON CONFLICT (key) DO UPDATE {changed} RETURNING version"

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        rows = await self._tables.fetch(
            f"SELECT key, version, body FROM {self._table} WHERE key = $1", kept_text(key)
        )
        return _document(rows[0]) if rows else None

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; see the port."""
        writer = uuid.uuid4()
        values: list[object] = [kept_text(key), kept_json(body), writer]
        query = self._write if if_version is None else self._replace if if_version else self._create
        if if_version:
            values.append(if_version)

        async def write() -> int:
            rows = await self._tables.fetch(query, *values)
            if not rows:
                raise VersionConflict(f"The document isn't at version {if_version}.")
            return int(rows[0][0])

        async def own() -> bool:
            rows = await self._tables.fetch(
                f"SELECT FROM {self._table} WHERE key = $1 AND writer = $2", kept_text(key), writer
            )
            return bool(rows)

        return await answered(write, own, (if_version or 0) + 1)

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` is `value`, by key."""
        if index not in self._indexes:
            raise ValueError(f"{index!r} is no declared index of this collection")
        query = f"SELECT key, version, body FROM {self._table} WHERE (body -> '{index}')::text = $1"
        values: list[object] = [kept_json(value), limit]
        if after is not None:
            query += f" AND key {'<' if descending else '>'} $3"
            values.append(kept_text(after))
        query += f" ORDER BY key {'DESC' if descending else 'ASC'} LIMIT $2"
        return [_document(row) for row in await self._tables.fetch(query, *values)]

    async def delete(self, key: str) -> None:
        """Remove the document."""
        await self._tables.fetch(f"DELETE FROM {self._table} WHERE key = $1", kept_text(key))


def _document(row: asyncpg.Record) -> Document:
    key, version, body = row
    return Document(text_of(key), version, value_of(body))
