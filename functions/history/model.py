"""What is kept of a conversation for reading, and how one fact changes it.

A `Head` is one document: where the projection stands (`position`, the version of the conversation's stream)
and what is shown of the conversation as a whole. Its items are documents of their own, so that a turn costs
the same in a short conversation and in a long one.

Invariants: facts are applied in the order of their versions, each once; what comes too early is parked in
the head and applied when the gap has closed; the head is written last, so that a crash in between is
repeated harmlessly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from events.chat import (
    ConversationDeleted,
    ConversationStarted,
    ConversationUpdated,
    TurnCancelled,
    TurnCompleted,
    TurnExpired,
    TurnFailed,
    TurnStarted,
)
from events.fact import Fact
from functions.history.items import Shown, shown


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation as a whole; at position 0 nothing of it has been applied.

    Attributes:
        asked_at: the version of the open turn's start, 0 where no turn is open.
        parked: events behind a gap, as CloudEvents JSON by their version.
    """

    tenant: str
    conversation_id: str
    position: int = 0
    owner: str = ""
    created_at: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False
    asked_at: int = 0
    parked: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Head:
        """The head in a document's body."""
        return cls(**{name: body[name] for name in cls.__dataclass_fields__})

    def body(self) -> dict[str, Any]:
        """The document's body."""
        return asdict(self)


def apply(head: Head, fact: Fact | None, time: str) -> tuple[Head, list[Shown]]:
    """The head one version on, and the items that the fact adds; None is a fact of a later program."""
    head = replace(head, position=head.position + 1)
    match fact:
        case ConversationStarted():
            started = replace(head, owner=fact.owner, created_at=time, metadata=dict(fact.metadata))
            return started, [each for item in fact.items for each in shown(item, "completed")]
        case ConversationUpdated():
            return replace(head, metadata=dict(fact.metadata)), []
        case ConversationDeleted():
            return replace(head, deleted=True, metadata={}), []
        case TurnStarted():
            asked = replace(head, asked_at=head.position)
            return asked, [each for item in fact.items for each in shown(item, "completed")]
        case TurnCompleted():
            ended = replace(head, asked_at=0)
            return ended, [each for item in fact.items for each in shown(item, "completed")]
        case TurnCancelled():
            ended = replace(head, asked_at=0)
            return ended, [each for item in fact.items for each in shown(item, "incomplete")]
        case TurnFailed() | TurnExpired():
            return replace(head, asked_at=0), []
    return head, []


def unanswered(head: Head, fact: Fact | None) -> int:
    """The version of the questions that `fact` leaves without an answer, 0 if it leaves none.

    `head` is the one before it. Such questions stay, as incomplete: they are read, and the model isn't told
    them again.
    """
    return head.asked_at if isinstance(fact, TurnFailed | TurnExpired) else 0
