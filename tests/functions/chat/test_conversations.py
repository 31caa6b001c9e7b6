"""Conversations in the store: snapshots, the memory of a process, two replicas at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from events.fact import Fact
from functions._runtime.errors import Conflict, PayloadTooLarge, Unavailable, VersionConflict
from functions.chat import commands
from functions.chat.conversations import CACHED_CONVERSATIONS, MOST_DATA_BYTES, SNAPSHOT_EVERY_VERSIONS, TRIES
from functions.chat.model import Conversation
from tests.functions.chat.world import FakeModel, World, frames


def replica_of(world: World) -> World:
    return World(store=world.store, clock=world.clock, model=FakeModel(words=["Hello"]))


async def test_another_replica_sees_what_was_written() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    other = replica_of(world)
    await other.say(conversation, "Hi")
    await world.say(conversation, "And?")
    assert world.model.messages() == [("user", "Hi"), ("assistant", "Hello"), ("user", "And?")]


async def test_a_writer_who_was_second_decides_again() -> None:
    world, decided_at = World(), list[int]()
    conversation = await world.started()
    other = replica_of(world)

    def command(state: Conversation) -> Sequence[Fact]:
        decided_at.append(state.version)
        return commands.update(state, "ann", {"decisions": str(len(decided_at))})

    await asyncio.gather(
        *(each.conversations.change("team", conversation, command) for each in (world, other))
    )
    assert (await world.conversations.load("team", conversation)).version == 3
    assert decided_at == [1, 1, 2]


async def test_a_crowd_of_writers_is_told_to_come_again() -> None:
    world = World()
    conversation = await world.started()

    class Crowded:
        def __init__(self) -> None:
            self.tries = 0
            self.read = world.events.read

        async def append(self, *_: object) -> int:
            self.tries += 1
            raise VersionConflict("Another was first.")

    crowded = Crowded()
    world.conversations._events = crowded  # type: ignore[assignment]
    with pytest.raises(Unavailable) as refused:
        await world.conversations.change(
            "team", conversation, lambda state: commands.update(state, "ann", {"a": "b"})
        )
    assert crowded.tries == 1 + TRIES, "once on what was remembered"
    assert refused.value.retry_after_s


async def long_conversation(world: World, versions: int) -> str:
    conversation = await world.started()
    while (await world.conversations.load("team", conversation)).version < versions:
        await world.say(conversation, "Hi")
    await world.background.drain()
    return conversation


async def test_a_snapshot_spares_reading_the_facts_before_it() -> None:
    world = World()
    conversation = await long_conversation(world, SNAPSHOT_EVERY_VERSIONS + 10)
    snapshot = await world.snapshots.load(f"team/{conversation}")
    assert snapshot is not None
    assert snapshot.version >= SNAPSHOT_EVERY_VERSIONS
    read_after = []
    fresh = replica_of(world)
    read = fresh.events.read

    async def noted(stream: str, after_version: int = 0) -> object:
        read_after.append(after_version)
        return await read(stream, after_version)

    fresh.events.read = noted  # type: ignore[assignment]
    state = await fresh.conversations.load("team", conversation)
    assert read_after == [snapshot.version]
    assert state == await world.conversations.load("team", conversation)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"schema": 0, "state": "{}"},
        {"schema": 1},
        {"schema": 1, "state": "no JSON"},
        {"schema": 1, "state": "[]"},
        {"schema": 1, "state": '{"turns": 1}'},
    ],
)
async def test_a_snapshot_that_can_not_be_read_is_done_without(body: dict[str, object]) -> None:
    world = World()
    conversation = await long_conversation(world, SNAPSHOT_EVERY_VERSIONS + 2)
    await world.snapshots.documents.put(f"team/{conversation}", body, if_version=None)
    state = await replica_of(world).conversations.load("team", conversation)
    assert state == await world.conversations.load("team", conversation)


async def test_an_old_snapshot_is_as_good_as_a_new_one() -> None:
    world = World()
    conversation = await long_conversation(world, SNAPSHOT_EVERY_VERSIONS + 2)
    old = await world.snapshots.documents.get(f"team/{conversation}")
    assert old is not None
    for _ in range(SNAPSHOT_EVERY_VERSIONS):
        await world.say(conversation, "Hi")
    await world.background.drain()
    await world.snapshots.documents.put(f"team/{conversation}", old.body, if_version=None)
    state = await replica_of(world).conversations.load("team", conversation)
    assert state == await world.conversations.load("team", conversation)


async def test_a_conversation_that_fell_out_of_memory_is_read_again() -> None:
    world = World()
    conversation = await world.started(metadata={"topic": "whales"})
    for _ in range(CACHED_CONVERSATIONS + 1):
        await world.started()
    assert (await world.conversations.load("team", conversation)).metadata == {"topic": "whales"}


async def test_what_is_not_there_is_not_remembered() -> None:
    world = World()
    for number in range(10):
        state = await world.conversations.load("team", f"conv_{number}")
        assert state.version == 0
    assert not world.conversations._cache


async def test_a_refusal_is_never_given_on_an_old_state() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    going_on = asyncio.Event()
    other = World(store=world.store, clock=world.clock, model=FakeModel(words=["Hello", going_on]))
    answer = await other.say(conversation, "Hi", stream=True)
    with pytest.raises(Conflict):
        await world.say(conversation, "And?")
    going_on.set()
    await frames(answer)
    assert (await world.say(conversation, "And?")).status == 200, "the first replica believed it busy"


@pytest.mark.parametrize("characters", [999_000, 1_001_000])
async def test_what_no_broker_would_take_is_refused_before_it_is_written(characters: int) -> None:
    """Promise 44: in the outbox it would hold back all that follows it."""
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    if characters < MOST_DATA_BYTES:
        await world.say(conversation, "x" * characters)
    else:
        with pytest.raises(PayloadTooLarge, match="1000000"):
            await world.say(conversation, "x" * characters)
    state = await world.conversations.load("team", conversation)
    assert state.version == (3 if characters < MOST_DATA_BYTES else 1)
    assert state.open_turn is None


async def test_an_answer_that_no_broker_would_take_ends_its_turn_as_failed() -> None:
    world = World(model=FakeModel(words=["x" * MOST_DATA_BYTES]))
    conversation = await world.started()
    with pytest.raises(PayloadTooLarge):
        await world.say(conversation, "Go on for ever")
    state = await world.conversations.load("team", conversation)
    assert state.last_ended is not None
    assert (state.last_ended.outcome, state.open_turn) == ("failed", None)
