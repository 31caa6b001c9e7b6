"""`Documents` in SQLite: a row a document, an index on an expression of its body for each declared field."""

from __future__ import annotations

# ruff: noqa: S608  the names of tables and fields have been checked; every value is bound
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from functions._runtime.adapters.sqlite.database import Database
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document


class SqliteDocuments:
    """The table `<collection>_documents` of `database`."""

    def __init__(self, database: Database, collection: str, indexes: tuple[str, ...]) -> None:
        self._database = database
        table = f"{collection}_documents"
        definitions = [
            f"CREATE TABLE IF NOT EXISTS {table}"
            " (key TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT"
        ]
        self._find: dict[tuple[str, bool], str] = {}
        for index in indexes:
            field = f"json_extract(body, '$.{_checked(index)}')"
            definitions.append(f"CREATE INDEX IF NOT EXISTS {table}_by_{index} ON {table} ({field}, key)")
            chosen = f"SELECT key, version, body FROM {table} WHERE {field} = ?"
            self._find[index, False] = f"{chosen} AND key > ? ORDER BY key LIMIT ?"
            self._find[index, True] = f"{chosen} AND (key < ? OR ? IS NULL) ORDER BY key DESC LIMIT ?"
        database.define(definitions)
        self._get = f"SELECT version, body FROM {table} WHERE key = ?"
        self._put = (
            f"INSERT INTO {table} (key, version, body) VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET version = excluded.version, body = excluded.body"
        )
        self._delete = f"DELETE FROM {table} WHERE key = ?"

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        row = await self._database.read(lambda connection: connection.execute(self._get, (key,)).fetchone())
        return None if row is None else Document(key, row[0], orjson.loads(row[1]))

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; see the port."""
        text = orjson.dumps(body).decode()

        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(self._get, (key,)).fetchone()
            version: int = 0 if row is None else row[0]
            if if_version is not None and version != if_version:
                raise VersionConflict(f"The document is at version {version}, not {if_version}.")
            connection.execute(self._put, (key, version + 1, text))
            return version + 1

        return await self._database.write(work)

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` is `value`, by key."""
        query = self._find.get((index, descending))
        if query is None:
            raise ValueError(f"{index!r} is no declared index of this collection")
        values = (value, after, after, limit) if descending else (value, after or "", limit)
        rows = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [Document(key, version, orjson.loads(body)) for key, version, body in rows]

    async def delete(self, key: str) -> None:
        """Remove the document."""
        await self._database.write(lambda connection: connection.execute(self._delete, (key,)))


def _checked(index: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", index):
        raise ValueError(f"{index!r} is no name for an index: use lower-case letters, digits and underscores")
    return index
