"""Promises 46 and 58 at the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from events import CloudEvent
from functions._runtime import outbox
from functions._runtime.adapters.memory import MemoryDocuments, MemoryEventStore, MemoryStore
from functions._runtime.errors import Unavailable, Unprocessable
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics
from functions._runtime.outbox import Relay, RelayedStore
from functions._runtime.set_aside import INDEXES, SetAside
from tests.functions._runtime.contracts.event_store import event
from tests.functions.clocks import SettableClock


class Broker:
    """Keeps what was published; may be away, as a whole or for some events."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.tried: list[str] = []
        self.is_away = False
        self.held: set[str] = set()
        self.refused: set[str] = set()
        self.changed = asyncio.Event()

    async def publish(self, event: CloudEvent) -> None:
        await asyncio.sleep(0)
        self.tried.append(event.id)
        self.changed.set()
        if self.is_away or event.id in self.held:
            raise Unavailable("away")
        if event.id in self.refused:
            raise Unprocessable("The broker answered 413: it takes no such event.")
        self.published.append(event.id)

    async def has(self, count: int) -> None:
        await self._grown(self.published, count)

    async def was_tried(self, count: int) -> None:
        await self._grown(self.tried, count)

    async def _grown(self, list_: list[str], count: int) -> None:
        while len(list_) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 5)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


LOG = Log("test", write=lambda line: None)


def relay_of(store: MemoryEventStore, broker: Broker, aside: SetAside | None = None) -> Relay:
    aside = aside or SetAside(
        MemoryStore().documents("events_set_aside", INDEXES), SettableClock(), Metrics(), LOG
    )
    return Relay(store, broker, aside, LOG)


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_left_from_before_is_published_at_the_start(
    store: MemoryEventStore, broker: Broker
) -> None:
    await store.append("a", [event("1"), event("2")], 0)
    async with running(relay_of(store, broker)):
        await broker.has(2)
    assert broker.published == ["1", "2"]
    assert await store.unpublished(10) == []


async def test_an_append_wakes_the_relay(store: MemoryEventStore, broker: Broker) -> None:
    relay = relay_of(store, broker)
    relayed = RelayedStore(store, relay)
    async with running(relay):
        for version in range(5):
            await relayed.append("a", [event(str(version))], version)
            await broker.has(version + 1)
    assert broker.published == ["0", "1", "2", "3", "4"]


async def test_events_of_a_stream_go_out_in_order_and_streams_side_by_side(
    store: MemoryEventStore, broker: Broker
) -> None:
    for version in range(3):
        for stream in ("a", "b", "c"):
            await store.append(stream, [event(f"{stream}{version}")], version)
    assert await relay_of(store, broker).pass_once() == 9
    for stream in ("a", "b", "c"):
        assert [each for each in broker.published if each[0] == stream] == [f"{stream}{n}" for n in range(3)]


async def test_an_event_that_isnt_taken_holds_back_its_own_stream_only(
    store: MemoryEventStore, broker: Broker
) -> None:
    await store.append("a", [event("a1"), event("a2"), event("a3")], 0)
    await store.append("b", [event("b1"), event("b2")], 0)
    broker.held = {"a2"}
    await relay_of(store, broker).pass_once()
    assert sorted(broker.published) == ["a1", "b1", "b2"]
    assert [each.event.id for each in await store.unpublished(10)] == ["a2", "a3"]


class Aside:
    """What is set aside, in `documents`, by processes that come one after the other."""

    def __init__(self) -> None:
        self.documents = MemoryStore().documents("events_set_aside", INDEXES)
        self.lines: list[str] = []
        self.metrics = Metrics()

    def process(self) -> SetAside:
        self.metrics = Metrics()
        return SetAside(self.documents, SettableClock(), self.metrics, Log("test", write=self.lines.append))

    @property
    def counted(self) -> float | None:
        return self.metrics.registry.get_sample_value("hadal_events_set_aside")


async def test_an_event_that_is_refused_for_good_is_set_aside_and_the_ones_behind_it_go_on(
    store: MemoryEventStore, broker: Broker
) -> None:
    await store.append("a", [event("a1"), event("a2"), event("a3")], 0)
    broker.refused = {"a2"}
    aside = Aside()
    assert await relay_of(store, broker, aside.process()).pass_once() == 3
    assert broker.published == ["a1", "a3"]
    assert await store.unpublished(10) == []
    (kept,) = await aside.documents.find("state", "refused", limit=9)
    assert (kept.body["stream"], kept.body["version"], kept.body["event_id"]) == ("a", 2, "a2")
    assert "413" in kept.body["reason"]
    assert aside.counted == 1
    assert any("event_set_aside" in line and '"a2"' in line for line in aside.lines)


async def test_what_was_set_aside_is_tried_once_more_at_the_next_start(
    store: MemoryEventStore, broker: Broker
) -> None:
    await store.append("a", [event("a1"), event("a2")], 0)
    aside = Aside()
    broker.refused = {"a1", "a2"}
    await relay_of(store, broker, aside.process()).pass_once()
    broker.refused = {"a1"}
    async with running(relay_of(store, broker, aside.process())):
        await broker.has(1)
        await broker.was_tried(4)
    assert broker.published == ["a2"]
    assert broker.tried == ["a1", "a2", "a1", "a2"]
    assert [each.body["event_id"] for each in await aside.documents.find("state", "refused", limit=9)] == [
        "a1"
    ]
    assert aside.counted == 1


async def test_an_event_that_cant_be_set_aside_stays_in_the_outbox(
    store: MemoryEventStore, broker: Broker
) -> None:
    class Away(MemoryDocuments):
        async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
            raise Unavailable("away")

    await store.append("a", [event("a1"), event("a2")], 0)
    await store.append("b", [event("b1")], 0)
    broker.refused = {"a1"}
    aside = SetAside(Away(), SettableClock(), Metrics(), LOG)
    assert await relay_of(store, broker, aside).pass_once() == 1
    assert broker.published == ["b1"]
    assert [each.event.id for each in await store.unpublished(10)] == ["a1", "a2"]


async def test_a_broker_that_is_away_loses_nothing_and_isnt_asked_without_pause(
    store: MemoryEventStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 46."""
    monkeypatch.setattr(outbox, "_FIRST_PAUSE_S", 0.01)
    broker.is_away = True
    relay = relay_of(store, broker)
    relayed = RelayedStore(store, relay)
    async with running(relay):
        await relayed.append("a", [event("1"), event("2")], 0)
        await broker.was_tried(3)
        await relayed.append("a", [event("3")], 2)
        broker.is_away = False
        await broker.has(3)
    assert broker.published == ["1", "2", "3"]
    assert set(broker.tried[:3]) == {"1"}, "a later event was tried before the one that waits"


async def test_what_was_appended_last_goes_out_before_the_process_ends(
    store: MemoryEventStore, broker: Broker
) -> None:
    relay = relay_of(store, broker)
    async with running(relay):
        await asyncio.sleep(0)
        await store.append("a", [event(str(n)) for n in range(600)], 0)  # and nobody wakes the relay
    assert len(broker.published) == 600


async def test_an_end_without_a_broker_doesnt_wait_for_one(store: MemoryEventStore, broker: Broker) -> None:
    broker.is_away = True
    await store.append("a", [event("1")], 0)
    async with running(relay_of(store, broker)):
        await broker.was_tried(1)
    assert [each.event.id for each in await store.unpublished(10)] == ["1"]


async def test_a_relay_killed_before_its_note_publishes_again_in_order(
    store: MemoryEventStore, broker: Broker
) -> None:
    """Promise 58: at least once, in order within a conversation."""
    await store.append("a", [event("1"), event("2")], 0)

    async def die(events: object) -> None:
        raise Unavailable("killed")

    note, store.mark_published = store.mark_published, die  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await relay_of(store, broker).pass_once()
    store.mark_published = note  # type: ignore[method-assign]
    await store.append("a", [event("3")], 2)
    await relay_of(store, broker).pass_once()
    assert broker.published == ["1", "2", "1", "2", "3"]
