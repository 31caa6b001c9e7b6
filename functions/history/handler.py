"""Consumes every fact of `chat`, emits nothing, because reads want shapes that an event stream doesn't have.

Applied in the order of `sequence`, each fact once: a repeated one changes nothing, one that comes too early
waits in the conversation's head until the gap before it has closed. So the order and number of deliveries
don't matter.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

from events import CloudEvent, UnknownFact, catalogue
from events.chat import CHAT, ConversationDeleted
from events.fact import Fact
from events.jsonformat import from_json, to_json
from functions._runtime.errors import Unavailable, Unprocessable, VersionConflict
from functions.history.model import Head, apply, unanswered
from functions.history.readmodel import Generations, ReadModel

MOST_PARKED = 1_000
TRIES = 8
SEQUENCE = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, slots=True)
class Project:
    """Applies events to the current read model. Twice is harmless."""

    generations: Generations
    moved: asyncio.Condition

    async def __call__(self, event: CloudEvent) -> None:
        """Apply the event, and wake the reads that wait for it."""
        await project(await self.generations.current(), event)
        async with self.moved:
            self.moved.notify_all()


async def project(model: ReadModel, event: CloudEvent) -> None:
    """Apply an event to one generation.

    Raises:
        Unprocessable: it isn't one of chat's events of a conversation.
        Unavailable: not now; it may be delivered again.
    """
    tenant, conversation_id, version = _place(event)
    for _ in range(TRIES):
        head, document_version = await model.head(tenant, conversation_id)
        if version <= head.position:
            return
        try:
            if version > head.position + 1:
                await model.put_head(_parked(head, version, event), document_version)
            else:
                await model.put_head(await _applied(model, head, event), document_version)
        except VersionConflict:
            continue  # another replica was first: see what it left to do
        return
    raise Unavailable("Too many writers change this read model at once.", retry_after_s=1)


async def _applied(model: ReadModel, head: Head, event: CloudEvent | None) -> Head:
    """The head after `event` and all that was parked behind it; the items are written."""
    parked = dict(head.parked)
    while event is not None:
        fact = _fact(event)
        if version := unanswered(head, fact):
            await model.mark_incomplete(head, version)
        head, items = apply(head, fact, event.time or "")
        if isinstance(fact, ConversationDeleted):
            await model.delete_items(head)
        await model.put_items(head, items)
        parked.pop(str(head.position), None)
        following = parked.get(str(head.position + 1))
        event = None if following is None else from_json(following.encode())
    return replace(head, parked=parked)


def _parked(head: Head, version: int, event: CloudEvent) -> Head:
    if len(head.parked) >= MOST_PARKED:
        raise Unavailable("Too many events wait for one that is missing.", retry_after_s=5)
    return replace(head, parked={**head.parked, str(version): to_json(event).decode()})


def _fact(event: CloudEvent) -> Fact | None:
    try:
        return catalogue.from_event(event)
    except UnknownFact:
        return None  # of a later version of the program: it counts as a version and changes nothing here


def _place(event: CloudEvent) -> tuple[str, str, int]:
    """Tenant, conversation and version of an event of chat."""
    tenant, sequence = event.extensions.get("tenant"), event.extensions.get("sequence")
    if event.source != CHAT:
        raise Unprocessable(f"source has to be {CHAT}.", param="source")
    if not isinstance(tenant, str) or not event.subject:
        raise Unprocessable(
            "The extension `tenant` and the subject (a conversation) are needed.", param="tenant"
        )
    if not isinstance(sequence, str) or not SEQUENCE.fullmatch(sequence) or int(sequence) < 1:
        raise Unprocessable(
            "The extension `sequence` has to be the version in the stream, from 1.", param="sequence"
        )
    fact = _fact(event)
    if fact is not None and getattr(fact, "conversation_id", None) != event.subject:
        raise Unprocessable(
            "The subject and data.conversation_id have to name one conversation.", param="subject"
        )
    return tenant, event.subject, int(sequence)
