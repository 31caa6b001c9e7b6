"""A conversation as its facts make it; what may happen to it next stands in `commands`.

What the state keeps is bounded, however long the conversation: the summary, the turns behind it up to
`REMEMBERED_TOKENS`, and the names of the last `REMEMBERED_KEYS` turns that a client gave a key. So is a
snapshot.

Invariants: one turn is open at a time; a turn ends once; nothing happens to a conversation that is deleted;
a summary only ever reaches further than the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from events.chat import (
    ConversationDeleted,
    ConversationStarted,
    ConversationUpdated,
    Item,
    SummaryAdopted,
    TurnCancelled,
    TurnCompleted,
    TurnExpired,
    TurnFailed,
    TurnStarted,
)
from events.fact import Fact
from functions.chat.tokens import count_tokens

REMEMBERED_TOKENS = 131_072
REMEMBERED_KEYS = 256
UNSUMMARIZED_TURNS = 4
"""The last turns, which a summary leaves alone: they are what the next message is most likely about."""

KEYED_TURN = "turn_k"
"""How the id of a turn with an Idempotency-Key begins; other ids go on with a hexadecimal digit."""

Ending = TurnCompleted | TurnCancelled | TurnFailed | TurnExpired
Changes = dict[str, Any]
"""Fields of a `Conversation` and their new values."""

OUTCOMES: dict[type[Fact], str] = {
    TurnCompleted: "completed",
    TurnCancelled: "cancelled",
    TurnFailed: "failed",
    TurnExpired: "expired",
}
INSTRUCTING_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that ended with an answer (or a part of one), as the model is shown it: no instructions.

    `version` is that of the fact which ended it. The first turn may be the items that the conversation was
    started with; it has no id.
    """

    turn_id: str | None
    version: int
    items: tuple[Item, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """The turn that is being answered."""

    turn_id: str
    items: tuple[Item, ...]
    deadline: str


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """How a turn ended (one of `OUTCOMES`), and at which version that stands."""

    turn_id: str
    version: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The state after `version` facts; at version 0 there is no conversation.

    Attributes:
        instructions: the system's and developer's messages in force: those of the last turn that had any.
        turns: what the summary doesn't cover, oldest first.
        keyed: the last turns that had an Idempotency-Key, oldest first.
        keys_forgotten: there were more of them than `keyed` remembers.
    """

    conversation_id: str
    version: int = 0
    owner: str = ""
    created_at: str = ""
    deleted: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    instructions: tuple[Item, ...] = ()
    summary: str | None = None
    summarized_through: int = 0
    turns: tuple[Turn, ...] = ()
    open_turn: OpenTurn | None = None
    last_ended: EndedTurn | None = None
    keyed: tuple[EndedTurn, ...] = ()
    keys_forgotten: bool = False

    @property
    def to_summarize(self) -> tuple[Turn, ...]:
        """The turns that a summary should cover next."""
        return self.turns[:-UNSUMMARIZED_TURNS]

    def summary_due(self, threshold_tokens: int) -> bool:
        """Whether the turns without a summary are over the threshold, and some of them old enough for one."""
        return bool(self.to_summarize) and sum(turn.tokens for turn in self.turns) > threshold_tokens


def evolve(state: Conversation, fact: Fact | None, time: str) -> Conversation:
    """The state after one more fact (None: one that isn't known here); `time` is its event's, RFC 3339."""
    if isinstance(fact, ConversationDeleted):
        return Conversation(state.conversation_id, state.version + 1, state.owner, deleted=True)
    return replace(state, version=state.version + 1, **_changes(state, fact, time))


def _changes(state: Conversation, fact: Fact | None, time: str) -> Changes:
    match fact:
        case ConversationStarted():
            known = {"owner": fact.owner, "metadata": fact.metadata, "created_at": time}
            return {**known, **_with_turn(state, None, fact.items)}
        case ConversationUpdated():
            return {"metadata": fact.metadata}
        case TurnStarted():
            return {"open_turn": OpenTurn(fact.turn_id, fact.items, fact.deadline)}
        case TurnCompleted() | TurnCancelled() | TurnFailed() | TurnExpired():
            return _ended(state, fact)
        case SummaryAdopted():
            left = tuple(turn for turn in state.turns if turn.version > fact.through_version)
            return {"summary": fact.summary, "summarized_through": fact.through_version, "turns": left}
    return {}


def _ended(state: Conversation, fact: Ending) -> Changes:
    ended = EndedTurn(fact.turn_id, state.version + 1, OUTCOMES[type(fact)])
    changes: Changes = {"open_turn": None, "last_ended": ended}
    if fact.turn_id.startswith(KEYED_TURN):
        keyed = (*state.keyed, ended)
        changes["keyed"] = keyed[-REMEMBERED_KEYS:]
        changes["keys_forgotten"] = state.keys_forgotten or len(keyed) > REMEMBERED_KEYS
    # A turn without an answer is as if it had never been: its message will be sent again, or was given up.
    answer = fact.items if isinstance(fact, TurnCompleted | TurnCancelled) else ()
    if answer:
        asked = state.open_turn.items if state.open_turn else ()
        changes |= _with_turn(state, fact.turn_id, (*asked, *answer))
    return changes


def _with_turn(state: Conversation, turn_id: str | None, items: Sequence[Item]) -> Changes:
    instructions = tuple(item for item in items if item.role in INSTRUCTING_ROLES)
    said = tuple(_remembered(item) for item in items if item.role not in INSTRUCTING_ROLES)
    turns = state.turns
    if said:
        turns = (*turns, Turn(turn_id, state.version + 1, said, sum(map(count_tokens, said))))
    return {"instructions": instructions or state.instructions, "turns": _bounded(turns)}


def _remembered(item: Item) -> Item:
    """Without how it was thought out: a model isn't shown that again (so DeepSeek's API guide)."""
    return item if item.reasoning_content is None else replace(item, reasoning_content=None)


def _bounded(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    tokens = sum(turn.tokens for turn in turns)
    while len(turns) > 1 and tokens > REMEMBERED_TOKENS:
        tokens -= turns[0].tokens
        turns = turns[1:]
    return turns
