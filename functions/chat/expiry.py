"""Turns that nobody ended: the process that answered them died. They are found and expired once overdue.

Which turns are open is read from the feed of all conversations' facts, from where the last look ended: no
index has to be kept in step with the facts, and a turn costs no write for it. What was open at the end of a
look is kept in one document with the position up to which that holds, so any look's document is true,
whoever wrote it last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events import CloudEvent
from events.chat import (
    ConversationDeleted,
    TurnCancelled,
    TurnCompleted,
    TurnExpired,
    TurnFailed,
    TurnStarted,
)
from functions._runtime.ports import Clock, Documents, EventStore, Recorded
from functions.chat import commands
from functions.chat.conversations import Conversations, fact_of

PAGE = 500
_CHECKPOINT = "open_turns"
_ENDINGS = (TurnCompleted, TurnCancelled, TurnFailed, TurnExpired, ConversationDeleted)

OpenTurns = dict[str, dict[str, str]]
"""By conversation, `tenant` and `deadline` of its open turn; the key is `<tenant>/<conversation id>`."""


@dataclass(frozen=True, slots=True)
class ExpireTurns:
    """Expires every turn past its deadline. Twice, or by two at once, is harmless: a turn ends once."""

    events: EventStore
    documents: Documents
    conversations: Conversations
    clock: Clock

    async def on_tick(self, _: CloudEvent) -> None:
        """Take a PingSource's tick."""
        await self()

    async def __call__(self) -> None:
        """Look once.

        Raises:
            Unavailable: the store is away.
        """
        position, turns = await self._known()
        start = position
        while page := await self.events.read_all(position, PAGE):
            for recorded in page:
                _note(turns, recorded)
            position = page[-1].position
        await self._expire_overdue(turns)
        if position != start:
            await self.documents.put(_CHECKPOINT, {"position": position, "turns": turns}, if_version=None)

    async def _expire_overdue(self, turns: Mapping[str, Mapping[str, str]]) -> None:
        now = self.clock.now()
        for name, turn in turns.items():
            if datetime.fromisoformat(turn["deadline"]) > now:
                continue
            conversation_id = name.rpartition("/")[2]
            # The command looks again: the turn may have ended since the feed was read.
            await self.conversations.change(
                turn["tenant"], conversation_id, lambda state: commands.expire_turn(state, now)
            )

    async def _known(self) -> tuple[int, OpenTurns]:
        document = await self.documents.get(_CHECKPOINT)
        body: Mapping[str, Any] = document.body if document else {}
        return body.get("position", 0), dict(body.get("turns", {}))


def _note(turns: OpenTurns, recorded: Recorded) -> None:
    fact = fact_of(recorded)
    tenant = str(recorded.event.extensions["tenant"])
    if isinstance(fact, TurnStarted):
        turns[f"{tenant}/{fact.conversation_id}"] = {"tenant": tenant, "deadline": fact.deadline}
    elif isinstance(fact, _ENDINGS):
        turns.pop(f"{tenant}/{fact.conversation_id}", None)
