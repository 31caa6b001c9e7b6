"""The store behind a `HADAL_STORE` address: `memory:` or `sqlite:<path>`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from functions._runtime.ports import Documents, EventStore


class Store(Protocol):
    """Where a function keeps things: event stores and collections by their names (`[a-z][a-z0-9_]*`)."""

    def event_store(self, name: str) -> EventStore:
        """The event store `name`, empty if it is new."""
        ...

    def documents(self, collection: str, indexes: tuple[str, ...] = ()) -> Documents:
        """The collection, empty if it is new; `indexes` are the text fields that `find` may name."""
        ...

    async def check(self) -> None:
        """Return if the store can be written (for `/readyz`).

        Raises:
            Unavailable: it can't, and why.
        """
        ...


def store_url(text: str) -> str:
    """A parser for settings: `text` if a store can stand behind it, ValueError with what would be right."""
    kind, separator, path = text.partition(":")
    if text != "memory:" and (kind != "sqlite" or not separator or not path):
        raise ValueError("should be memory: or sqlite:<path of a file>")
    return text


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The store at `url` (checked by `store_url`), open while the context lasts.

    Raises:
        Unavailable: it can't be opened now.
    """
    kind, _, path = store_url(url).partition(":")
    if kind == "memory":
        from functions._runtime.adapters.memory import MemoryStore

        yield MemoryStore()
        return
    from functions._runtime.adapters.sqlite import open_sqlite

    async with open_sqlite(path) as store:
        yield store


def store_name(name: str) -> str:
    """`name` if an event store or a collection may be called so.

    Raises:
        ValueError: it may not; this is a mistake in the program.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError(
            f"{name!r} is no name for a collection: use lower-case letters, digits and underscores"
        )
    return name
