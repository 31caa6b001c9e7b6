"""Conversations as they were at some version, so that reading one costs the same however long it is.

A snapshot is no truth of its own: it may be lost, old, or written by two at once, and the facts behind its
version make up for it. One that this version of the program can't read is as good as none.
"""

from __future__ import annotations

from dataclasses import dataclass

from events import InvalidEvent, fact
from functions._runtime.errors import Unavailable
from functions._runtime.ports import Documents
from functions.chat.model import Conversation

SCHEMA = 1
"""Goes up whenever `model.evolve` would make another state of the same facts."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The latest snapshot of each stream."""

    documents: Documents

    async def load(self, stream: str) -> Conversation | None:
        """The snapshot, or None if there is none that can be used."""
        document = await self.documents.get(stream)
        if document is None or document.body.get("schema") != SCHEMA:
            return None
        try:
            state: Conversation = fact.decode(Conversation, document.body.get("state"))
        except InvalidEvent:
            return None
        return state

    async def save(self, stream: str, state: Conversation) -> None:
        """Keep `state`; if the store is away, a later one will be kept."""
        try:
            body = {"schema": SCHEMA, "state": fact.encode(state)}
            await self.documents.put(stream, body, if_version=None)
        except Unavailable:
            return
