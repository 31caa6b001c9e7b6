"""The store behind a `HADAL_STORE` address.

| address | what it is |
|---|---|
| `memory:` | gone with the process |
| `sqlite:<path>` | a file, shared by the replicas on one machine |
| `postgresql://<user>:<password>@<host>:<port>/<database>` | a schema a function; libpq's options |
| `mongodb://<user>:<password>@<host>:<port>/<database>` | a prefix a function; MongoDB's options |
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

from functions._runtime.ports import Documents, EventStore

NAME_CHARACTERS = 25
"""So that the name of a collection and of its index are one name that PostgreSQL doesn't cut off (63)."""

_SERVERS = {"postgresql": "postgresql", "mongodb": "mongodb", "mongodb+srv": "mongodb"}
_KINDS = (
    "memory:, sqlite:<path of a file>, postgresql://<user>:<password>@<host>/<database>"
    " or mongodb://<user>:<password>@<host>/<database>"
)


class Store(Protocol):
    """Where a function keeps things: event stores and collections by their names (`store_name`)."""

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
    """A parser for settings: `text` if a store can stand behind it.

    Raises:
        ValueError: none can; it says what would be right and shows nothing that may be a password.
    """
    kind, _, rest = text.partition(":")
    if kind in _SERVERS:
        _check_server(text)
    elif kind == "sqlite":
        if not rest:
            raise ValueError("names no file; should be sqlite:<path of a file>")
    elif text != "memory:":
        raise ValueError(f"should be {_KINDS}")
    return text


def _check_server(url: str) -> None:
    kind = url.partition(":")[0]
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and ("," in parts.netloc or parts.port != 0)
    except ValueError:
        is_good = False
    right = f"should be {kind}://<user>:<password>@<host>:<port>/<database>"
    if not is_good:
        raise ValueError(f"names no server; {right}, with %XX for what isn't a letter or digit in a password")
    if not re.fullmatch(r"/[^/]+", parts.path):
        raise ValueError(f"names no database; {right}")


@asynccontextmanager
async def open_store(url: str, namespace: str = "hadal") -> AsyncIterator[Store]:
    """The store at `url` (checked by `store_url`), open while the context lasts.

    `namespace` is the function's name: in a database that functions share, each keeps to its own part.

    Raises:
        Unavailable: it can't be opened now.
    """
    async with _opened(store_url(url), store_name(namespace)) as store:
        yield store


def _opened(url: str, namespace: str) -> AbstractAsyncContextManager[Store]:
    """A function pays for the import of the one client that it uses."""
    kind, _, path = url.partition(":")
    if _SERVERS.get(kind) == "postgresql":
        from functions._runtime.adapters.postgresql import open_postgresql

        return open_postgresql(url, namespace)
    if _SERVERS.get(kind) == "mongodb":
        from functions._runtime.adapters.mongodb import open_mongodb

        return open_mongodb(url, namespace)
    if kind == "sqlite":
        from functions._runtime.adapters.sqlite import open_sqlite

        return open_sqlite(path)
    from functions._runtime.adapters.memory import open_memory

    return open_memory()


def store_name(name: str) -> str:
    """`name` if an event store, a collection, an index or a namespace may be called so.

    Raises:
        ValueError: it may not; this is a mistake in the program.
    """
    if not is_store_name(name):
        raise ValueError(
            f"{name!r} is no name for a collection or an index: use at most {NAME_CHARACTERS} lower-case"
            " letters, digits and underscores"
        )
    return name


def is_store_name(name: str) -> bool:
    """Whether `store_name` takes `name`."""
    return re.fullmatch(rf"[a-z][a-z0-9_]{{0,{NAME_CHARACTERS - 1}}}", name) is not None
