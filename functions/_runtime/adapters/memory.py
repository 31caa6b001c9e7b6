"""Event store and documents in memory: for tests, and for a function that may forget.

Both belong to one event loop and do each operation in one go, so that nothing comes between.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from events import CloudEvent
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document, Documents, EventStore, Recorded
from functions._runtime.store import store_name


class MemoryStore:
    """Everything is gone with the process."""

    def __init__(self) -> None:
        self._events: dict[str, MemoryEventStore] = {}
        self._documents: dict[str, MemoryDocuments] = {}

    def event_store(self, name: str) -> EventStore:
        """The event store `name`."""
        return self._events.setdefault(store_name(name), MemoryEventStore())

    def documents(self, collection: str, indexes: tuple[str, ...] = ()) -> Documents:
        """The collection; `indexes` may be named in `find`."""
        kept = self._documents.setdefault(store_name(collection), MemoryDocuments())
        kept.declare(indexes)
        return kept

    async def check(self) -> None:
        """It is always there."""


@asynccontextmanager
async def open_memory() -> AsyncIterator[MemoryStore]:
    """A new store."""
    yield MemoryStore()


class MemoryEventStore:
    """`EventStore` in a list."""

    def __init__(self) -> None:
        self._all: list[Recorded] = []
        self._streams: dict[str, list[Recorded]] = defaultdict(list)
        self._outbox: dict[int, Recorded] = {}

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Add `events` behind `expected_version`; see the port."""
        standing = self._streams.get(stream, ())
        if len(standing) != expected_version:
            raise VersionConflict(f"The stream is at version {len(standing)}, not {expected_version}.")
        for version, event in enumerate(events, expected_version + 1):
            recorded = Recorded(stream, version, len(self._all) + 1, event)
            self._all.append(recorded)
            self._streams[stream].append(recorded)
            self._outbox[recorded.position] = recorded
        return expected_version + len(events)

    async def read(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The stream's events behind `after_version`."""
        return self._streams[stream][after_version:] if stream in self._streams else []

    async def read_all(self, after_position: int, limit: int) -> list[Recorded]:
        """Events of all streams behind `after_position`."""
        return self._all[after_position : after_position + limit]

    async def unpublished(self, limit: int) -> list[Recorded]:
        """The outbox, oldest first."""
        return [self._outbox[position] for position in sorted(self._outbox)[:limit]]

    async def mark_published(self, events: Sequence[Recorded]) -> None:
        """Take `events` out of the outbox."""
        for event in events:
            self._outbox.pop(event.position, None)


class MemoryDocuments:
    """`Documents` in a dictionary; bodies are kept as JSON text, so that nobody holds a part of one."""

    def __init__(self) -> None:
        self._indexes: set[str] = set()
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._keys: dict[tuple[str, str], list[str]] = defaultdict(list)

    def declare(self, indexes: tuple[str, ...]) -> None:
        """Let `find` name these fields too."""
        for index in {store_name(index) for index in indexes} - self._indexes:
            self._indexes.add(index)
            for key, (_, text) in self._bodies.items():
                self._enter(index, key, orjson.loads(text))

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        kept = self._bodies.get(key)
        return Document(key, kept[0], orjson.loads(kept[1])) if kept else None

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; see the port."""
        text = orjson.dumps(body)
        version = self._bodies[key][0] if key in self._bodies else 0
        if if_version is not None and version != if_version:
            raise VersionConflict(f"The document is at version {version}, not {if_version}.")
        self._leave(key)
        self._bodies[key] = (version + 1, text)
        for index in self._indexes:
            self._enter(index, key, body)
        return version + 1

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` is `value`, by key."""
        if index not in self._indexes:
            raise ValueError(f"{index!r} is no declared index of this collection")
        keys = self._keys.get((index, value), [])
        if descending:
            end = len(keys) if after is None else bisect_left(keys, after)
            page = keys[max(0, end - limit) : end][::-1]
        else:
            start = 0 if after is None else bisect_right(keys, after)
            page = keys[start : start + limit]
        return [Document(key, self._bodies[key][0], orjson.loads(self._bodies[key][1])) for key in page]

    async def delete(self, key: str) -> None:
        """Remove the document."""
        self._leave(key)
        self._bodies.pop(key, None)

    def _enter(self, index: str, key: str, body: Mapping[str, Any]) -> None:
        value = body.get(index)
        if isinstance(value, str):
            insort(self._keys[index, value], key)

    def _leave(self, key: str) -> None:
        if key not in self._bodies:
            return
        body = orjson.loads(self._bodies[key][1])
        for index in self._indexes:
            value = body.get(index)
            if isinstance(value, str):
                self._keys[index, value].remove(key)
