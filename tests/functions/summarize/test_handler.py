"""When a summary is made, of what, and what happens to an event that comes twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from events import CloudEvent, catalogue
from events.chat import CHAT, SUMMARIZE, ConversationSummarized, TurnCompleted, Usage
from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.clock import SystemIds
from functions._runtime.deduplication import INDEXES, deduplicated
from functions._runtime.errors import BadGateway, Unavailable, Unprocessable
from functions.summarize.handler import TRANSCRIPT_BYTES, Context, Summarize, Turn, transcript


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 31, 12, tzinfo=UTC)


class Stored:
    """Conversations by tenant and id."""

    def __init__(self, contexts: Mapping[tuple[str, str], Context]) -> None:
        self.contexts = contexts

    async def context(self, tenant: str, conversation_id: str) -> Context | None:
        return self.contexts.get((tenant, conversation_id))


class Model:
    """Answers with what it was made with, and keeps what it was asked."""

    def __init__(self, answer: Any = "They spoke of whales.") -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"choices": [{"message": {"role": "assistant", "content": self.answer}}]}


def turn(version: int, question: str = "What sings?", answer: str = "Whales do.") -> Turn:
    return Turn(version, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def completed(tenant: str | None = "team", conversation: str = "conv_1") -> CloudEvent:
    fact = TurnCompleted(conversation, "turn_1", "echo", (), "stop", Usage(1, 1))
    return catalogue.to_event(fact, id="evt_1", source=CHAT, time="2026-01-31T12:00:00Z", tenant=tenant)


def summarize(model: Model, **contexts: Context) -> Summarize:
    stored = Stored({("team", conversation): context for conversation, context in contexts.items()})
    return Summarize(stored, model, FixedClock(), SystemIds())


LONG = Context("They met.", [turn(3), turn(5)])


async def test_a_summary_reaches_through_the_last_turn_that_it_covers() -> None:
    reply = await summarize(Model(), conv_1=LONG)(completed())
    assert reply is not None
    assert (reply.source, reply.extensions["tenant"], reply.extensions["partitionkey"]) == (
        SUMMARIZE,
        "team",
        "conv_1",
    )
    fact = catalogue.from_event(reply)
    assert fact == ConversationSummarized("conv_1", "They spoke of whales.", 5, "echo")


async def test_the_model_is_shown_the_summary_so_far_and_the_turns() -> None:
    model = Model()
    await summarize(model, conv_1=LONG)(completed())
    (asked,) = model.asked
    assert asked["model"] == "echo"
    shown = asked["messages"][-1]["content"]
    assert "They met." in shown
    assert shown.count("user: What sings?\nassistant: Whales do.") == 2


@pytest.mark.parametrize("contexts", [{}, {"conv_1": Context("All of it.", [])}, {"conv_2": LONG}])
async def test_nothing_to_condense_costs_no_generation(contexts: dict[str, Context]) -> None:
    model = Model()
    assert await summarize(model, **contexts)(completed()) is None
    assert model.asked == []


async def test_a_repeated_event_writes_one_summary() -> None:
    """Promise 40."""
    model = Model()
    handler = summarize(model, conv_1=LONG)
    once = deduplicated(handler, MemoryStore().documents("inbox", INDEXES), FixedClock())
    first, second = await once(completed()), await once(completed())
    assert first == second
    assert len(model.asked) == 1


async def test_another_tenants_conversation_is_not_read() -> None:
    model = Model()
    assert await summarize(model, conv_1=LONG)(completed(tenant="others")) is None
    assert model.asked == []


async def test_an_event_without_a_tenant_is_refused_for_good() -> None:
    with pytest.raises(Unprocessable, match="tenant"):
        await summarize(Model(), conv_1=LONG)(completed(tenant=None))


@pytest.mark.parametrize("answer", ["", "  ", None, 7, Unavailable("away")])
async def test_a_model_that_gives_no_summary_is_asked_again_later(answer: Any) -> None:
    with pytest.raises((BadGateway, Unavailable)):
        await summarize(Model(answer), conv_1=LONG)(completed())


def test_a_transcript_fits_the_smallest_window_and_keeps_something_of_every_message() -> None:
    long = Context(None, [turn(version, f"question {version} " + "é" * 9_000) for version in range(20)])
    text = transcript(long)
    assert len(text.encode()) < TRANSCRIPT_BYTES + 40 * len(" […]assistant: \n".encode())
    assert all(f"question {version} " in text for version in range(20))


def test_parts_of_text_are_shown_and_others_are_not() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x"}}]
    text = transcript(Context(None, [Turn(1, [{"role": "user", "content": parts}])]))
    assert "look" in text
    assert "https" not in text
