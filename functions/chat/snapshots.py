"""Conversations as they were at some version, so that reading one costs the same however long it is.

A snapshot is no truth of its own: it may be lost, old, or written by two at once, and the facts behind its
version make up for it. One that this version of the program can't read is as good as none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from events.chat import Item
from functions._runtime.errors import Unavailable
from functions._runtime.ports import Documents
from functions.chat.model import Conversation, EndedTurn, OpenTurn, Turn

SCHEMA = 1
"""Goes up whenever a state has other fields, or `model.evolve` would make another one of the same facts."""


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
            return decode(document.body["state"])
        except (KeyError, TypeError, ValueError):
            return None

    async def save(self, stream: str, state: Conversation) -> None:
        """Keep `state`; if the store is away, a later one will be kept."""
        try:
            await self.documents.put(stream, {"schema": SCHEMA, "state": encode(state)}, if_version=None)
        except Unavailable:
            return


def encode(state: Conversation) -> str:
    """The state as JSON text: a state holds callers' own keys, which not every store takes for fields."""
    return orjson.dumps(state).decode()


def decode(text: str) -> Conversation:
    """The state that was encoded; KeyError, TypeError or ValueError if it is none."""
    fields = orjson.loads(text)
    open_turn, last_ended = fields["open_turn"], fields["last_ended"]
    fields["instructions"] = _items(fields["instructions"])
    fields["turns"] = tuple(Turn(**{**turn, "items": _items(turn["items"])}) for turn in fields["turns"])
    fields["open_turn"] = open_turn and OpenTurn(**{**open_turn, "items": _items(open_turn["items"])})
    fields["last_ended"] = last_ended and EndedTurn(**last_ended)
    fields["keyed"] = tuple(EndedTurn(**turn) for turn in fields["keyed"])
    return Conversation(**fields)


def _items(items: list[dict[str, Any]]) -> tuple[Item, ...]:
    return tuple(map(_item, items))


def _item(fields: dict[str, Any]) -> Item:
    for name in ("content", "tool_calls"):
        if isinstance(fields[name], list):
            fields[name] = tuple(fields[name])
    return Item(**fields)
