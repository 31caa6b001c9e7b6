"""A conversation's events as `chat` publishes them, and a read model over memory."""

from __future__ import annotations

from collections.abc import Sequence

from events import CloudEvent, catalogue
from events.chat import (
    CHAT,
    ConversationDeleted,
    ConversationStarted,
    ConversationUpdated,
    Item,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
)
from events.fact import Fact
from functions._runtime.adapters.memory import MemoryStore
from functions.history.readmodel import HEAD_INDEXES, ITEM_INDEXES, Generations

CONVERSATION = "conv_1"
TIME = "2026-01-31T12:00:00.000Z"


def said(name: str, text: str, role: str = "user") -> Item:
    return Item(name, role, text)


def turn(number: int) -> list[Fact]:
    """A whole turn: question and answer."""
    return [
        TurnStarted(
            CONVERSATION, f"turn_{number}", "echo", (said(f"msg_q{number}", f"question {number}"),), TIME
        ),
        TurnCompleted(
            CONVERSATION,
            f"turn_{number}",
            "echo",
            (said(f"msg_a{number}", f"answer {number}", "assistant"),),
            "stop",
            Usage(1, 1),
        ),
    ]


def story() -> list[Fact]:
    """A conversation with something of everything."""
    return [
        ConversationStarted(CONVERSATION, "ada", {"topic": "sea"}, (said("msg_0", "hello"),)),
        *turn(1),
        TurnStarted(CONVERSATION, "turn_2", "echo", (said("msg_q2", "question 2"),), TIME),
        TurnCancelled(CONVERSATION, "turn_2", "echo", (said("msg_a2", "answ", "assistant"),), None),
        ConversationUpdated(CONVERSATION, {"topic": "whales"}),
        TurnStarted(CONVERSATION, "turn_3", "echo", (said("msg_q3", "question 3"),), TIME),
        TurnFailed(CONVERSATION, "turn_3", "model_failed"),
        *turn(4),
    ]


def deletion() -> Fact:
    return ConversationDeleted(CONVERSATION)


def published(facts: Sequence[Fact], tenant: str = "team") -> list[CloudEvent]:
    """The facts as events, in the order of their versions."""
    return [
        catalogue.to_event(
            fact,
            id=f"evt_{version}",
            source=CHAT,
            time=TIME,
            subject=CONVERSATION,
            tenant=tenant,
            partitionkey=CONVERSATION,
            extensions={"sequence": f"{version:010d}"},
        )
        for version, fact in enumerate(facts, 1)
    ]


def generations(store: MemoryStore | None = None) -> Generations:
    store = store or MemoryStore()
    return Generations(
        store.documents("heads", HEAD_INDEXES),
        store.documents("items", ITEM_INDEXES),
        store.documents("generations"),
    )


async def shown(generations_: Generations, tenant: str = "team") -> object:
    """All that can be read of the conversation, whatever generation it stands in."""
    model = await generations_.current()
    head, _ = await model.head(tenant, CONVERSATION)
    page = await model.page(head, after=None, limit=1_000, descending=False)
    assert page is not None
    listed, _more = await model.conversations(tenant, head.owner, after=None, limit=10, descending=True)
    return head.body(), page.entries, [each.conversation_id for each in listed]
