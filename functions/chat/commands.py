"""What may happen to a conversation: each command gives the facts that follow, or raises why it may not be.

Pure: the state comes in, with the time where it matters; no clock, no store. No facts means that nothing
needs to happen, which is how a repeated command is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

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
    Usage,
)
from events.fact import Fact
from functions._runtime.errors import Conflict, NotFound, Unprocessable
from functions.chat.model import OUTCOMES, Conversation, Ending


def require_visible(state: Conversation, owner: str | None = None) -> None:
    """Raise NotFound unless there is a conversation and it is `owner`'s (None: whoever's).

    Absent, deleted and another's look the same.
    """
    if state.version == 0 or state.deleted or owner not in (None, state.owner):
        raise NotFound(f"There is no conversation {state.conversation_id}.", code="conversation_not_found")


def start(state: Conversation, owner: str, metadata: Mapping[str, str], items: Sequence[Item]) -> list[Fact]:
    """Start the conversation."""
    if state.version:
        raise Conflict(f"The conversation {state.conversation_id} was started before.")
    return [ConversationStarted(state.conversation_id, owner, metadata, tuple(items))]


def update(state: Conversation, owner: str, metadata: Mapping[str, str]) -> list[Fact]:
    """Replace the metadata; nothing happens if it is the same."""
    require_visible(state, owner)
    return [] if metadata == state.metadata else [ConversationUpdated(state.conversation_id, metadata)]


def delete(state: Conversation, owner: str) -> list[Fact]:
    """Delete the conversation, also in the middle of a turn."""
    require_visible(state, owner)
    return [ConversationDeleted(state.conversation_id)]


def start_turn(
    state: Conversation, turn_id: str, model: str, items: Sequence[Item], deadline: str
) -> list[Fact]:
    """Open a turn.

    Raises:
        Conflict: another turn is open (`conversation_busy`), or this very one is or was (`turn_in_progress`).
    """
    require_visible(state)
    ended = any(turn.turn_id == turn_id for turn in state.keyed)
    if ended or (state.open_turn and state.open_turn.turn_id == turn_id):
        raise Conflict(
            "The turn of this Idempotency-Key is being answered; ask again for its answer.",
            code="turn_in_progress",
            retry_after_s=1,
        )
    if state.open_turn:
        raise Conflict(
            "Another turn of this conversation is being answered; try again when it has ended.",
            code="conversation_busy",
            retry_after_s=1,
        )
    return [TurnStarted(state.conversation_id, turn_id, model, tuple(items), deadline)]


def complete_turn(
    state: Conversation, turn_id: str, model: str, answer: Item, finish_reason: str, usage: Usage
) -> list[Fact]:
    """Record the whole answer."""
    fact = TurnCompleted(state.conversation_id, turn_id, model, (answer,), finish_reason, usage)
    return _ending(state, fact)


def cancel_turn(
    state: Conversation, turn_id: str, model: str, part: Item | None, usage: Usage | None
) -> list[Fact]:
    """Record that the client left, and what had been produced by then."""
    items = () if part is None else (part,)
    return _ending(state, TurnCancelled(state.conversation_id, turn_id, model, items, usage))


def fail_turn(state: Conversation, turn_id: str, reason: str) -> list[Fact]:
    """Record that the model gave no answer."""
    return _ending(state, TurnFailed(state.conversation_id, turn_id, reason))


def _ending(state: Conversation, fact: Ending) -> list[Fact]:
    require_visible(state)
    if state.open_turn and state.open_turn.turn_id == fact.turn_id:
        return [fact]
    ended = state.last_ended
    if ended and (ended.turn_id, ended.outcome) == (fact.turn_id, OUTCOMES[type(fact)]):
        return []  # an earlier try was written although it seemed to fail
    how = ended.outcome if ended and ended.turn_id == fact.turn_id else "ended"
    raise Conflict(f"The turn is no longer open: it has {how}.", code=f"turn_{how}")


def expire_turn(state: Conversation, now: datetime) -> list[Fact]:
    """Close the open turn if its deadline has passed."""
    turn = state.open_turn
    if turn is None or state.deleted or datetime.fromisoformat(turn.deadline) > now:
        return []
    return [TurnExpired(state.conversation_id, turn.turn_id)]


def adopt_summary(state: Conversation, summary: str, through_version: int) -> list[Fact]:
    """Let `summary` stand for everything up to `through_version`, unless there is one that reaches as far.

    Raises:
        Unprocessable: it claims to cover what hasn't happened.
    """
    if state.version == 0:
        raise Unprocessable(f"There is no conversation {state.conversation_id} to summarize.")
    if through_version > state.version:
        raise Unprocessable(
            f"The summary reaches through version {through_version}; the conversation is at {state.version}."
        )
    if state.deleted or through_version <= state.summarized_through:
        return []
    return [SummaryAdopted(state.conversation_id, summary, through_version)]
