"""Turns whose process died are expired once overdue, by whoever looks."""

from __future__ import annotations

import asyncio

import pytest

from events import CloudEvent
from events.chat import TurnExpired
from functions._runtime.errors import Conflict
from tests.functions.chat.world import DEADLINE_S, FakeModel, World, document, frames

TICK = CloudEvent("1", "/apis/v1/namespaces/hadal/pingsources/ticks", "dev.knative.sources.ping")


async def with_orphan(key: str | None = None) -> tuple[World, str]:
    """A conversation with an open turn whose process is gone; and another replica."""
    dead = World(model=FakeModel(words=["Hel", asyncio.Event()]))
    conversation = await dead.started()
    answer = await dead.say(conversation, "Hi", stream=True, key=key)
    world = World(store=dead.store, clock=dead.clock)
    world.held.append(answer)  # a stream that nobody holds would be closed, and its turn cancelled
    return world, conversation


async def test_a_tick_expires_a_turn_past_its_deadline() -> None:
    """Promise 56: every saga ends within its time."""
    world, conversation = await with_orphan()
    world.clock.pass_s(DEADLINE_S - 1)
    await world.expire_turns.on_tick(TICK)
    assert (await world.names(conversation))[-1] == "TurnStarted"
    world.clock.pass_s(1)
    await world.expire_turns.on_tick(TICK)
    assert (await world.names(conversation))[-1] == "TurnExpired"


async def test_a_tick_that_comes_twice_expires_once() -> None:
    """Promise 40."""
    world, conversation = await with_orphan()
    world.clock.pass_s(DEADLINE_S)
    await asyncio.gather(*(world.expire_turns() for _ in range(100)))
    assert (await world.names(conversation)).count("TurnExpired") == 1


async def test_a_turn_that_ended_is_left_alone() -> None:
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi")
    world.clock.pass_s(2 * DEADLINE_S)
    await world.expire_turns()
    assert (await world.names(conversation))[-1] == "TurnCompleted"


async def test_a_look_begins_where_the_last_one_ended() -> None:
    world, conversation = await with_orphan()
    await world.expire_turns()
    later = World(store=world.store, clock=world.clock)
    positions = []
    read_all = later.events.read_all

    async def noted(after_position: int, limit: int) -> object:
        positions.append(after_position)
        return await read_all(after_position, limit)

    later.events.read_all = noted  # type: ignore[assignment]
    later.clock.pass_s(DEADLINE_S)
    await later.expire_turns()
    assert positions == [2]
    assert (await later.names(conversation))[-1] == "TurnExpired"


async def test_a_crash_before_the_look_was_noted_is_harmless() -> None:
    world, conversation = await with_orphan()
    world.clock.pass_s(DEADLINE_S)
    await world.expire_turns()
    await world.store.documents("open_turns").delete("open_turns")
    await world.expire_turns()
    assert (await world.names(conversation)).count("TurnExpired") == 1


async def test_the_next_turn_finds_an_overdue_one_by_itself() -> None:
    world, conversation = await with_orphan()
    with pytest.raises(Conflict):
        await world.say(conversation, "And?")
    world.clock.pass_s(DEADLINE_S)
    assert document(await world.say(conversation, "And?"))["choices"]
    assert (await world.names(conversation))[-3:] == ["TurnExpired", "TurnStarted", "TurnCompleted"]
    assert world.model.messages() == [("user", "And?")], "a turn without an answer is not told"


async def test_the_key_of_an_expired_turn_may_try_again() -> None:
    world, conversation = await with_orphan(key="k1")
    world.clock.pass_s(DEADLINE_S)
    assert document(await world.say(conversation, "Hi", key="k1"))["choices"]


async def test_a_deleted_conversations_turn_needs_no_end() -> None:
    world, conversation = await with_orphan()
    await world.call("DELETE", f"/v1/conversations/{conversation}")
    world.clock.pass_s(DEADLINE_S)
    await world.expire_turns()
    assert (await world.names(conversation))[-1] == "ConversationDeleted"


async def test_an_answer_that_comes_after_its_turn_was_expired_is_not_acknowledged() -> None:
    going_on = asyncio.Event()
    world = World(model=FakeModel(words=["Hello", going_on]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    world.clock.pass_s(DEADLINE_S)
    await World(store=world.store, clock=world.clock).expire_turns()
    going_on.set()
    received = await frames(answer)
    assert received[-1]["error"]["code"] == "turn_expired"
    assert "[DONE]" not in received
    assert isinstance((await world.facts(conversation))[-1], TurnExpired)
