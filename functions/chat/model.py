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
from typing import Literal

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

Outcome = Literal["completed", "cancelled", "failed", "expired"]
Ending = TurnCompleted | TurnCancelled | TurnFailed | TurnExpired

OUTCOMES: dict[type[Fact], Outcome] = {
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
    """How a turn ended, and at which version that stands."""

    turn_id: str
    version: int
    outcome: Outcome


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
    state = replace(state, version=state.version + 1)
    match fact:
        case ConversationStarted():
            started = replace(state, owner=fact.owner, metadata=fact.metadata, created_at=time)
            return _with_turn(started, None, fact.items)
        case ConversationUpdated():
            return replace(state, metadata=fact.metadata)
        case ConversationDeleted():
            return Conversation(state.conversation_id, state.version, state.owner, deleted=True)
        case TurnStarted():
            return replace(state, open_turn=OpenTurn(fact.turn_id, fact.items, fact.deadline))
        case TurnCompleted() | TurnCancelled() | TurnFailed() | TurnExpired():
            return _ended(state, fact)
        case SummaryAdopted():
            left = tuple(turn for turn in state.turns if turn.version > fact.through_version)
            return replace(state, summary=fact.summary, summarized_through=fact.through_version, turns=left)
    return state


def _ended(state: Conversation, fact: Ending) -> Conversation:
    ended = EndedTurn(fact.turn_id, state.version, OUTCOMES[type(fact)])
    asked = state.open_turn.items if state.open_turn else ()
    state = replace(state, open_turn=None, last_ended=ended)
    if fact.turn_id.startswith(KEYED_TURN):
        keyed = (*state.keyed, ended)
        forgotten = state.keys_forgotten or len(keyed) > REMEMBERED_KEYS
        state = replace(state, keyed=keyed[-REMEMBERED_KEYS:], keys_forgotten=forgotten)
    # A turn without an answer is as if it had never been: its message will be sent again, or was given up.
    answer = fact.items if isinstance(fact, TurnCompleted | TurnCancelled) else ()
    return _with_turn(state, fact.turn_id, (*asked, *answer)) if answer else state


def _with_turn(state: Conversation, turn_id: str | None, items: Sequence[Item]) -> Conversation:
    instructions = tuple(item for item in items if item.role in INSTRUCTING_ROLES)
    # How an earlier answer was thought out isn't shown to a model again (DeepSeek's API guide says not to).
    said = tuple(
        replace(item, reasoning_content=None) for item in items if item.role not in INSTRUCTING_ROLES
    )
    turns = state.turns
    if said:
        turns = (*turns, Turn(turn_id, state.version, said, sum(map(count_tokens, said))))
    return replace(state, instructions=instructions or state.instructions, turns=_bounded(turns))


def _bounded(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    tokens = sum(turn.tokens for turn in turns)
    while len(turns) > 1 and tokens > REMEMBERED_TOKENS:
        tokens -= turns[0].tokens
        turns = turns[1:]
    return turns
