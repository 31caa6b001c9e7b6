"""`EventStore` in MongoDB: a document an append, with its events and their outbox entries inside.

    {_id: 12, stream: "s", versions: [3, 4], outbox: [12000, 12001], events: [{attributes, data}, …]}

One insert writes all of it or nothing, so nothing more than a document's atomicity is needed.

*Versions.* The unique index over (stream, versions) has an entry for each version, so no two appends can hold
the same one.

*Positions.* The number of an append, its `_id`, is always the successor of the greatest one there is; if two
writers choose the same number, one of them meets a duplicate, looks again and takes the next. So number n is
only ever written by somebody who saw n - 1: numbers become visible in their order and without gaps, and
`read_all` skips nothing that comes later. (A counter that is taken first and written with later would let a
reader pass by a number whose document is still under way.) What that costs: one append after the other.

A collection of this kind can't be sharded: both indexes have to be unique over all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from events import CloudEvent
from functions._runtime.adapters.mongodb.database import Collection, Database, Indexed, translated
from functions._runtime.adapters.unanswered import answered
from functions._runtime.errors import PayloadTooLarge, Unavailable, VersionConflict
from functions._runtime.ports import Recorded
from functions._runtime.stored_event import from_columns, to_columns

EVENTS_PER_APPEND = 1_000
"""The position of an event is its append's number times this, plus its place inside."""
TRIES = 100

_NEWEST = ReadConcern("local")
"""What a failover could still undo is seen too: the number behind it would be undone with it."""


class MongodbEventStore:
    """The collection `<name>_appends` of the function."""

    def __init__(self, database: Database, name: str) -> None:
        self._appends = Indexed(
            database.collection(f"{name}_appends"),
            [
                IndexModel([("stream", ASCENDING), ("versions", ASCENDING)], unique=True),
                IndexModel([("outbox", ASCENDING)], sparse=True),
            ],
        )
        self._turn = asyncio.Lock()  # this process doesn't race with itself

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Add `events` and their outbox entries as one document; see the port."""
        if len(events) > EVENTS_PER_APPEND:
            raise PayloadTooLarge(f"One append takes at most {EVENTS_PER_APPEND} events, not {len(events)}.")
        version = expected_version + len(events)
        append = {
            "stream": stream,
            "versions": list(range(expected_version + 1, version + 1)),
            "events": [_kept(event) for event in events],
        }

        async def write() -> int:
            async with self._turn:
                await self._inserted(append, expected_version)
            return version

        async def own() -> bool:
            standing = await self.read(stream, expected_version)
            return [each.event for each in standing[: len(events)]] == list(events)

        return await answered(write, own, version)

    async def read(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The stream's events behind `after_version`."""
        found = await self._found({"stream": stream, "versions": {"$gt": after_version}})
        return [each for each in sorted(found, key=_version) if each.version > after_version]

    async def read_all(self, after_position: int, limit: int) -> list[Recorded]:
        """Events of all streams behind `after_position`."""
        first = after_position // EVENTS_PER_APPEND  # its later events may not have been read yet
        found = await self._found({"_id": {"$gte": first}}, by="_id", limit=limit + 1)
        return [each for each in found if each.position > after_position][:limit]

    async def unpublished(self, limit: int) -> list[Recorded]:
        """The outbox, oldest first."""
        found = await self._found({"outbox": {"$gt": 0}}, by="outbox", limit=limit, waiting=True)
        return found[:limit]

    async def mark_published(self, events: Sequence[Recorded]) -> None:
        """Take `events` out of the outbox."""
        if not events:
            return
        positions = [event.position for event in events]
        ids = {"$in": sorted({position // EVENTS_PER_APPEND for position in positions})}
        appends = await self._appends.ready()
        with translated():
            await appends.update_many({"_id": ids}, {"$pull": {"outbox": {"$in": positions}}})
            # Without the empty field the index holds what waits and nothing else.
            await appends.update_many({"_id": ids, "outbox": []}, {"$unset": {"outbox": ""}})

    async def _inserted(self, append: Mapping[str, Any], expected_version: int) -> None:
        appends = (await self._appends.ready()).with_options(read_concern=_NEWEST)
        for _ in range(TRIES):
            with translated():
                last, version = await asyncio.gather(
                    _greatest(appends, "_id", {}),
                    _greatest(appends, "versions", {"stream": append["stream"]}),
                )
            if version != expected_version:
                raise VersionConflict(f"The stream is at version {version}, not {expected_version}.")
            number, count = last + 1, len(append["events"])
            if not count:
                return
            first = number * EVENTS_PER_APPEND
            try:
                with translated():
                    await appends.insert_one(
                        {"_id": number, **append, "outbox": list(range(first, first + count))}
                    )
            except DuplicateKeyError:
                continue  # another process has the number, or the version: look again
            return
        raise Unavailable("Too many processes append to the store at once.")

    async def _found(
        self, query: Mapping[str, Any], *, by: str | None = None, limit: int = 0, waiting: bool = False
    ) -> list[Recorded]:
        appends = await self._appends.ready()
        with translated():
            cursor = appends.find(query, limit=limit, sort=[(by, ASCENDING)] if by else None)
            return [each for append in await cursor.to_list() for each in _recorded(append, waiting)]


async def _greatest(appends: Collection, field: str, query: Mapping[str, Any]) -> int:
    found = await appends.find_one(query, {field: 1}, sort=[(field, DESCENDING)])
    if found is None:
        return 0
    return max(found[field]) if isinstance(found[field], list) else int(found[field])


def _kept(event: CloudEvent) -> dict[str, Any]:
    attributes, data = to_columns(event)
    return {"attributes": attributes.decode(), "data": data}


def _recorded(append: Mapping[str, Any], waiting: bool) -> Iterator[Recorded]:
    """The events of one append; with `waiting` those that aren't published."""
    for place, (version, event) in enumerate(zip(append["versions"], append["events"], strict=True)):
        position = append["_id"] * EVENTS_PER_APPEND + place
        if waiting and position not in append["outbox"]:
            continue
        kept = from_columns(event["attributes"].encode(), event["data"])
        yield Recorded(append["stream"], version, position, kept)


def _version(recorded: Recorded) -> int:
    return recorded.version
