"""For an event handler that isn't idempotent by itself: once for each (source, id).

A claim with a lease stands in a document before the handler runs, and the reply after it. Who comes in
between is told to come again; who comes later gets the stored reply. A process that dies in the middle
leaves a claim that runs out, so a handler may begin twice, and its effects reach the outside only by its
reply.

A record is kept for `KEPT_DAYS`, longer than any broker goes on with an event; then it is deleted, a few with
each event that is handled, so that a function needs no clockwork for it and is never behind for long.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from events import CloudEvent
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Problem, Unavailable, VersionConflict
from functions._runtime.ground import EventHandler
from functions._runtime.ports import Clock, Document, Documents
from functions._runtime.stored_event import from_columns, to_columns

INDEXES = ("day",)
"""What `documents` has to be declared with."""
KEPT_DAYS = 30
PURGED_AT_ONCE = 20

_BUSY = "This event is being handled; it may be sent again."


def deduplicated(
    handler: EventHandler, documents: Documents, clock: Clock, *, lease_s: float = 120.0
) -> EventHandler:
    """`handler`, run once for each (source, id); its reply is given again for a repeated event.

    `lease_s` should be longer than the handler ever takes: only then is a claim taken from a process that
    died.
    """
    purge = _Purge(documents)

    async def once(event: CloudEvent) -> CloudEvent | None:
        key = hashlib.sha256(f"{event.source}\n{event.id}".encode()).hexdigest()
        known = await documents.get(key)
        if known is not None and known.body["state"] == "done":
            return _reply_of(known)
        began = clock.now()
        version = await _claim(documents, key, event, known, began, lease_s)
        try:
            reply = await handler(event)
        except BaseException:
            await _settle(documents, key, _body(event, "released", began), version)
            raise
        done = _body(event, "done", began, reply=_stored(reply), at=rfc3339(clock.now()))
        await _settle(documents, key, done, version)
        with suppress(Problem):  # what isn't deleted now is deleted later
            await purge(began.date())
        return reply

    return once


class _Purge:
    """Deletes the records whose time is over, from the day on to which an earlier call came."""

    _REACHED = "purged up to"  # the key of a document beside the records, whose keys are digests

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._done_on: date | None = None

    async def __call__(self, today: date) -> None:
        """Delete up to `PURGED_AT_ONCE` records; nothing where this process has done all of today's."""
        if self._done_on == today:
            return
        oldest_kept = today - timedelta(days=KEPT_DAYS)
        reached = await self._documents.get(self._REACHED)
        day = date.fromisoformat(reached.body["until"]) if reached is not None else oldest_kept
        while day < oldest_kept:
            records = await self._documents.find("day", day.isoformat(), limit=PURGED_AT_ONCE)
            for record in records:
                await self._documents.delete(record.key)
            if len(records) == PURGED_AT_ONCE:
                return
            day += timedelta(days=1)
        await self._documents.put(self._REACHED, {"until": oldest_kept.isoformat()}, None)
        self._done_on = today


async def _claim(
    documents: Documents, key: str, event: CloudEvent, known: Document | None, now: datetime, lease_s: float
) -> int:
    if known is not None and known.body["state"] == "claimed" and rfc3339(now) < known.body["until"]:
        raise Unavailable(_BUSY, retry_after_s=1)
    body = _body(event, "claimed", now, until=rfc3339(now + timedelta(seconds=lease_s)))
    try:
        return await documents.put(key, body, known.version if known is not None else 0)
    except VersionConflict:
        raise Unavailable(_BUSY, retry_after_s=1) from None


async def _settle(documents: Documents, key: str, body: Mapping[str, Any], version: int) -> None:
    try:
        await documents.put(key, body, version)
    except VersionConflict:
        # The lease ran out and another has the claim now: what it settles counts, and it gives its own reply.
        raise Unavailable(_BUSY, retry_after_s=1) from None


def _body(event: CloudEvent, state: str, began: datetime, **more: Any) -> dict[str, Any]:
    day = began.date().isoformat()
    return {"source": event.source, "id": event.id, "state": state, "day": day, **more}


def _stored(reply: CloudEvent | None) -> list[str | None] | None:
    if reply is None:
        return None
    attributes, data = to_columns(reply)
    return [attributes.decode(), None if data is None else base64.b64encode(data).decode()]


def _reply_of(known: Document) -> CloudEvent | None:
    if known.body["reply"] is None:
        return None
    attributes, data = known.body["reply"]
    return from_columns(attributes.encode(), None if data is None else base64.b64decode(data))
