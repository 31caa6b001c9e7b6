"""For an event handler that isn't idempotent by itself: once for each (source, id).

A claim with a lease stands in a document before the handler runs, and the reply after it. Who comes in
between is told to come again; who comes later gets the stored reply. A process that dies in the middle
leaves a claim that runs out, so a handler may begin twice, and its effects reach the outside only by its
reply.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from events import CloudEvent
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Unavailable, VersionConflict
from functions._runtime.ground import EventHandler
from functions._runtime.ports import Clock, Document, Documents
from functions._runtime.stored_event import from_columns, to_columns

_BUSY = "This event is being handled; it may be sent again."


def deduplicated(
    handler: EventHandler, documents: Documents, clock: Clock, *, lease_s: float = 120.0
) -> EventHandler:
    """`handler`, run once for each (source, id); its reply is given again for a repeated event.

    `lease_s` should be longer than the handler ever takes: only then is a claim taken from a process that
    died.
    """

    async def once(event: CloudEvent) -> CloudEvent | None:
        key = hashlib.sha256(f"{event.source}\n{event.id}".encode()).hexdigest()
        known = await documents.get(key)
        if known is not None and known.body["state"] == "done":
            return _reply_of(known)
        version = await _claim(documents, key, event, known, clock.now(), lease_s)
        try:
            reply = await handler(event)
        except BaseException:
            await _settle(documents, key, _body(event, "released"), version)
            raise
        done = _body(event, "done", reply=_stored(reply), at=rfc3339(clock.now()))
        await _settle(documents, key, done, version)
        return reply

    return once


async def _claim(
    documents: Documents, key: str, event: CloudEvent, known: Document | None, now: datetime, lease_s: float
) -> int:
    if known is not None and known.body["state"] == "claimed" and rfc3339(now) < known.body["until"]:
        raise Unavailable(_BUSY, retry_after_s=1)
    body = _body(event, "claimed", until=rfc3339(now + timedelta(seconds=lease_s)))
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


def _body(event: CloudEvent, state: str, **more: Any) -> dict[str, Any]:
    return {"source": event.source, "id": event.id, "state": state, **more}


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
