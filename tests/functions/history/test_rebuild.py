"""Read models anew from position 0: the same as before, and nothing lost that came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from events import CloudEvent
from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.errors import Conflict, Forbidden, Unavailable
from functions._runtime.http import Request
from functions._runtime.ports import Principal
from functions.history.handler import Project
from functions.history.rebuild import LEASE_S, Rebuild
from tests.functions.history.world import generations, published, shown, story

EVENTS = published(story())


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Role:
    """Every caller has this role."""

    def __init__(self, role: str) -> None:
        self.role = role

    async def authenticate(self, _: str | None) -> Principal:
        return Principal("ops", "team", frozenset({self.role}), "")


class Feed:
    """Pages of two events; `meanwhile` runs before each page is told."""

    def __init__(self, events: list[CloudEvent]) -> None:
        self.events = events
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None

    async def after(self, position: int) -> tuple[Sequence[CloudEvent], int]:
        if self.meanwhile is not None:
            await self.meanwhile(position)
        page = self.events[position : position + 2]
        return page, position + len(page)


class World:
    """A history over memory, and its rebuild."""

    def __init__(self, role: str = "service") -> None:
        store = MemoryStore()
        self.generations = generations(store)
        self.project = Project(self.generations, asyncio.Condition())
        self.feed = Feed(list(EVENTS))
        self.clock = Clock()
        self.rebuild = Rebuild(self.generations, self.feed, store.documents("claims"), Role(role), self.clock)

    async def run(self) -> None:
        await self.rebuild(Request("POST", "/v1/rebuild"))


async def test_a_rebuilt_read_model_is_identical() -> None:
    """Promise 45."""
    world = World()
    for event in EVENTS:
        await world.project(event)
    before = await shown(world.generations)
    await world.run()
    assert await shown(world.generations) == before
    assert (await world.generations.current()).generation == 2


async def test_what_was_lost_or_wrong_is_right_after_a_rebuild() -> None:
    world, right = World(), World()
    for event in EVENTS:
        await right.project(event)
    await world.project(EVENTS[0])
    await world.run()
    assert await shown(world.generations) == await shown(right.generations)


async def test_events_that_arrive_meanwhile_are_not_lost() -> None:
    """Promise 45: each is in the feed before it is delivered, wherever the rebuild stands."""
    for arrives_at in range(0, len(EVENTS), 2):
        world, right = World(), World()
        for event in EVENTS:
            await right.project(event)
        late = world.feed.events.pop()
        for event in world.feed.events:
            await world.project(event)

        async def meanwhile(
            position: int, world: World = world, late: CloudEvent = late, at: int = arrives_at
        ) -> None:
            if position >= at and late not in world.feed.events:
                world.feed.events.append(late)
                await world.project(late)

        world.feed.meanwhile = meanwhile
        await world.run()
        assert await shown(world.generations) == await shown(right.generations), arrives_at


async def test_a_rebuild_that_dies_leaves_what_there_was_and_the_next_one_works() -> None:
    world = World()
    for event in EVENTS:
        await world.project(event)
    before = await shown(world.generations)

    async def dies(position: int) -> None:
        if position:
            raise Unavailable("chat is away")

    world.feed.meanwhile = dies
    with pytest.raises(Unavailable):
        await world.run()
    assert await shown(world.generations) == before
    world.feed.meanwhile = None
    await world.run()
    assert await shown(world.generations) == before


async def test_one_rebuild_at_a_time_and_a_dead_ones_claim_runs_out() -> None:
    world = World()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def holds(_: int) -> None:
        reached.set()
        await go_on.wait()

    world.feed.meanwhile = holds
    first = asyncio.create_task(world.run())
    await reached.wait()
    with pytest.raises(Conflict):
        await world.run()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.feed.meanwhile = None
    world.clock.time += timedelta(seconds=LEASE_S)
    await world.run()


async def test_a_rebuild_that_takes_long_keeps_its_claim() -> None:
    world = World()

    async def takes_long(_: int) -> None:
        world.clock.time += timedelta(seconds=LEASE_S - 1)

    async def tried(position: int) -> None:
        await takes_long(position)
        if position:
            with pytest.raises(Conflict):
                await Rebuild(
                    world.generations, world.feed, world.rebuild.claims, Role("service"), world.clock
                )(Request("POST", "/v1/rebuild"))

    world.feed.meanwhile = tried
    await world.run()
    assert (await world.generations.current()).generation == 2


async def test_a_member_may_not_rebuild() -> None:
    with pytest.raises(Forbidden):
        await World("member").run()
