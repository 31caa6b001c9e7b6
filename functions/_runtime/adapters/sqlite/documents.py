"""`Documents` in SQLite: a row a document, with a column and an index for each declared field.

The columns are filled here and not by SQLite's JSON functions: those cut a text at a NUL and turn lists and
numbers into text, and then one owner's value could be found under another's.
"""

from __future__ import annotations

# ruff: noqa: S608  the names of tables and fields have been checked; every value is bound
import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from functions._runtime.adapters.sqlite.database import Database
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document
from functions._runtime.store import store_name


class SqliteDocuments:
    """The table `<collection>_documents` of `database`."""

    def __init__(self, database: Database, collection: str, indexes: tuple[str, ...]) -> None:
        self._database = database
        self._table = table = f"{collection}_documents"
        self._indexes = tuple(store_name(index) for index in indexes)
        self._kept = database.define(self._define)
        columns = "".join(f", by_{index}" for index in self._kept)
        updates = "".join(f", by_{index} = excluded.by_{index}" for index in self._kept)
        self._get = f"SELECT version, body FROM {table} WHERE key = ?"
        self._put = (
            f"INSERT INTO {table} (key, version, body{columns}) VALUES (?, ?, ?{', ?' * len(self._kept)})"
            f" ON CONFLICT (key) DO UPDATE SET version = excluded.version, body = excluded.body{updates}"
        )
        self._delete = f"DELETE FROM {table} WHERE key = ?"

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        row = await self._database.read(lambda connection: connection.execute(self._get, (key,)).fetchone())
        return None if row is None else Document(key, row[0], orjson.loads(row[1]))

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; see the port."""
        text = orjson.dumps(body).decode()
        indexed = self._indexed(body)

        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(self._get, (key,)).fetchone()
            version: int = 0 if row is None else row[0]
            if if_version is not None and version != if_version:
                raise VersionConflict(f"The document is at version {version}, not {if_version}.")
            connection.execute(self._put, (key, version + 1, text, *indexed))
            return version + 1

        return await self._database.write(work)

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` is `value`, by key."""
        if index not in self._indexes:
            raise ValueError(f"{index!r} is no declared index of this collection")
        query = f"SELECT key, version, body FROM {self._table} WHERE by_{index} = ?"
        values: list[object] = [value]
        if after is not None:
            query += f" AND key {'<' if descending else '>'} ?"
            values.append(after)
        query += f" ORDER BY key {'DESC' if descending else 'ASC'} LIMIT ?"
        values.append(limit)
        rows = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [Document(key, version, orjson.loads(body)) for key, version, body in rows]

    async def delete(self, key: str) -> None:
        """Remove the document."""
        await self._database.write(lambda connection: connection.execute(self._delete, (key,)))

    def _define(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        """Make what isn't there yet; return the fields that have a column, whoever declared them."""
        table = self._table
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table}"
            " (key TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT"
        )
        there = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for index in self._indexes:
            column = f"by_{index}"
            if column not in there:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")
                rows = connection.execute(f"SELECT key, body FROM {table}").fetchall()
                values = [(_indexed(orjson.loads(body), index), key) for key, body in rows]
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE key = ?", values)
            connection.execute(f"CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column}, key)")
        others = [column.removeprefix("by_") for column in there if column.startswith("by_")]
        return tuple(dict.fromkeys((*others, *self._indexes)))

    def _indexed(self, body: Mapping[str, Any]) -> list[str | None]:
        return [_indexed(body, index) for index in self._kept]


def _indexed(body: Mapping[str, Any], index: str) -> str | None:
    value = body.get(index)
    return value if isinstance(value, str) else None
