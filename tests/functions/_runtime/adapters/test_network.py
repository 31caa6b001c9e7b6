"""What only a store behind a network can do wrong: lost questions and answers, restarts, silence, crowds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

import pytest

from functions._runtime.adapters.mongodb import database as mongodb_database
from functions._runtime.adapters.postgresql import database as postgresql_database
from functions._runtime.errors import Unavailable, VersionConflict
from functions._runtime.store import Store, open_store
from scripts.servers import running
from tests.functions._runtime.adapters.wire import Wire, wire
from tests.functions._runtime.contracts.event_store import event

pytestmark = pytest.mark.slow

T = TypeVar("T")

SERVERS = ["postgresql", "mongodb"]
ALLOWED_CONNECTIONS = 8
WATCHING_CONNECTIONS = 2
"""MongoDB's client watches each server over connections of their own."""


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest, address_of: Callable[[str], str]) -> str:
    return address_of(request.param)


@pytest.fixture
async def way(server_url: str) -> AsyncIterator[Wire]:
    async with wire(server_url) as way:
        yield way


@pytest.fixture
async def store(way: Wire, namespace: str) -> AsyncIterator[Store]:
    async with open_store(way.url, namespace) as store:
        await store.event_store("facts").append("before", [event("before")], 0)
        await store.documents("notes", ("owner",)).put("before", {}, 0)
        yield store


async def eventually(read: Callable[[str], Awaitable[T]], name: str, within_s: float = 10.0) -> T:
    """What `read` returns as soon as the store is there again."""
    async with asyncio.timeout(within_s):
        while True:
            with suppress(Unavailable):
                return await read(name)


def naming(text: str) -> Callable[[bytes], bool]:
    """At the message with this text."""
    return lambda message: text.encode() in message


async def test_an_append_whose_answer_is_lost_stands_once_and_is_acknowledged(
    store: Store, way: Wire
) -> None:
    """Promise 50: a time-out after the commit makes no message twice."""
    facts = store.event_store("facts")
    await facts.append("a", [event("1")], 0)
    way.lose_answer = naming("lost-answer")
    assert await facts.append("a", [event("lost-answer"), event("3")], 1) == 3
    assert [each.event.id for each in await facts.read("a")] == ["1", "lost-answer", "3"]
    assert [each.event.id for each in await facts.unpublished(9)] == ["before", "1", "lost-answer", "3"]


async def test_an_append_whose_question_is_lost_is_asked_again(store: Store, way: Wire) -> None:
    facts = store.event_store("facts")
    await facts.append("a", [event("1")], 0)
    way.lose_question = naming("lost-question")
    assert await facts.append("a", [event("lost-question")], 1) == 2
    assert [each.event.id for each in await facts.read("a")] == ["1", "lost-question"]


async def test_a_writer_that_comes_between_the_two_tries_wins(
    store: Store, way: Wire, server_url: str, namespace: str
) -> None:
    facts = store.event_store("facts")
    async with open_store(server_url, namespace) as other:
        rival = other.event_store("facts")
        await rival.read("a")
        is_written = asyncio.Event()

        async def write() -> None:
            await rival.append("a", [event("rival")], 0)
            is_written.set()
            way.release()

        def strike(message: bytes) -> bool:
            if b"late" not in message:
                return False
            way.hold()  # the second try waits until the rival has written
            tasks.append(asyncio.create_task(write()))
            return True

        tasks: list[asyncio.Task[None]] = []
        way.lose_question = strike
        with pytest.raises(VersionConflict):
            await facts.append("a", [event("late")], 0)
        assert is_written.is_set()
    assert [each.event.id for each in await facts.read("a")] == ["rival"]


@pytest.mark.parametrize("if_version", [0, 1, None])
async def test_a_document_whose_answer_is_lost_is_written_and_acknowledged(
    store: Store, way: Wire, if_version: int | None
) -> None:
    notes = store.documents("notes", ("owner",))
    if if_version:
        await notes.put("k", {"n": 0}, 0)
    way.lose_answer = naming("lost-answer")
    version = await notes.put("k", {"owner": "lost-answer"}, if_version)
    kept = await notes.get("k")
    assert kept is not None
    assert (kept.version, kept.body) == (version, {"owner": "lost-answer"})
    if if_version is not None:
        assert version == if_version + 1


async def test_an_equal_body_by_another_writer_is_a_conflict_all_the_same(
    store: Store, way: Wire, server_url: str, namespace: str
) -> None:
    """Two claims of one thing may look alike; only one of them holds."""
    notes = store.documents("notes", ("owner",))
    async with open_store(server_url, namespace) as other:
        rival = other.documents("notes", ("owner",))
        await rival.get("k")
        writing: list[asyncio.Task[int]] = []

        def strike(message: bytes) -> bool:
            if b"claim" not in message:
                return False
            way.hold()
            writing.append(asyncio.create_task(rival.put("k", {"owner": "claim"}, 0)))
            writing[0].add_done_callback(lambda _: way.release())
            return True

        way.lose_question = strike
        with pytest.raises(VersionConflict):
            await notes.put("k", {"owner": "claim"}, 0)
        assert await writing[0] == 1


async def test_connections_that_are_cut_are_made_anew(store: Store, way: Wire) -> None:
    facts = store.event_store("facts")
    await asyncio.gather(*(facts.read("a") for _ in range(20)))
    for version in range(3):
        way.cut()
        assert await facts.append("a", [event(str(version))], version) == version + 1
    assert len(await facts.read("a")) == 3


async def test_a_crowd_waits_for_few_connections(store: Store, way: Wire) -> None:
    facts, notes = store.event_store("facts"), store.documents("notes", ("owner",))
    reads = [facts.read("a") for _ in range(150)]
    writes = [notes.put(f"k{n}", {}, 0) for n in range(150)]
    await asyncio.gather(*reads, *writes)
    assert 1 < way.most_open <= ALLOWED_CONNECTIONS + WATCHING_CONNECTIONS


async def test_a_server_that_falls_silent_is_unavailable_in_time_and_comes_back(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_database, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(postgresql_database, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(mongodb_database, "OPERATION_TIMEOUT_MS", 300)
    async with wire(server_url) as way, open_store(way.url, namespace) as store:
        facts, notes = store.event_store("facts"), store.documents("notes")
        await facts.append("a", [event("1")], 0)
        await notes.put("k", {}, 0)
        way.hold()
        for asked in (facts.append("a", [event("2")], 1), facts.read("a"), notes.put("k", {}, 1)):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(asked, 10)
        way.release()
        way.cut()
        version = len(await eventually(facts.read, "a"))
        assert await facts.append("a", [event("3")], version) == version + 1


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_restarts_is_used_again_without_a_restart_here(
    name: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 50 (restart): refused while it is away, back by itself, nothing acknowledged is lost."""
    monkeypatch.setattr(mongodb_database, "OPERATION_TIMEOUT_MS", 500)
    with running(name) as server:
        async with open_store(server.url, namespace) as store:
            facts, notes = store.event_store("facts"), store.documents("notes")
            await facts.append("a", [event("1")], 0)
            await notes.put("k", {"n": 1}, 0)
            await asyncio.to_thread(server.stop)
            for asked in (facts.read("a"), facts.append("a", [event("x")], 1), notes.get("k"), store.check()):
                with pytest.raises(Unavailable):
                    await asked
            await asyncio.to_thread(server.start)
            await store.check()
            assert await facts.append("a", [event("2")], 1) == 2
            assert [each.event.id for each in await facts.read("a")] == ["1", "2"]
            kept = await notes.get("k")
            assert kept is not None and kept.body == {"n": 1}


async def test_many_processes_that_begin_at_once_make_the_tables_once(
    server_url: str, namespace: str
) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(server_url, namespace)) for _ in range(6)]
        outcomes = await asyncio.gather(
            *(store.event_store("facts").append("a", [event(f"{n}")], 0) for n, store in enumerate(stores)),
            *(store.documents("notes", ("owner",)).put("k", {}, None) for store in stores),
            return_exceptions=True,
        )
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, VersionConflict)]
    assert len(conflicts) == 5
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [1, 1, 2, 3, 4, 5, 6]


async def test_a_hundred_writers_in_several_processes_make_one_stream(
    server_url: str, namespace: str
) -> None:
    """Promise 40 rests on it, over the network too: 100 writers for each version, one wins each."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(server_url, namespace)) for _ in range(4)]
        facts = [store.event_store("facts") for store in stores]
        for version in range(3):
            outcomes = await asyncio.gather(
                *(facts[n % 4].append("a", [event(f"{version}-{n}")], version) for n in range(100)),
                return_exceptions=True,
            )
            assert [each for each in outcomes if not isinstance(each, VersionConflict)] == [version + 1]
        assert len(await facts[0].read("a")) == len(await facts[1].unpublished(1_000)) == 3


async def test_a_reader_misses_nothing_while_several_processes_write(server_url: str, namespace: str) -> None:
    """What becomes visible later stands later: a reader that goes on from where it was has read all."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(server_url, namespace)) for _ in range(4)]
        facts = [store.event_store("facts") for store in stores]

        async def write(number: int) -> None:
            for version in range(15):
                happened = [event(f"{number}-{version}-{n}") for n in range(1 + version % 3)]
                before = len(await facts[number % 4].read(f"s{number}"))
                await facts[number % 4].append(f"s{number}", happened, before)

        writing = asyncio.gather(*(write(number) for number in range(8)))
        seen: list[str] = []
        position = 0
        while not writing.done() or len(seen) < 240:
            page = await facts[0].read_all(position, 5)
            assert [each.position for each in page] == sorted({each.position for each in page})
            seen += [each.event.id for each in page]
            position = page[-1].position if page else position
        await writing
        everything = await facts[1].read_all(0, 1_000)
    assert seen == [each.event.id for each in everything]
    assert len(set(seen)) == 240


async def test_functions_that_share_a_database_keep_apart(server_url: str, namespace: str) -> None:
    async with (
        open_store(server_url, f"{namespace}_one") as one,
        open_store(server_url, f"{namespace}_two") as two,
    ):
        await one.event_store("facts").append("a", [event("1")], 0)
        await one.documents("notes").put("k", {}, 0)
        assert await two.event_store("facts").read_all(0, 10) == []
        assert await two.documents("notes").get("k") is None


async def test_an_index_covers_what_a_process_writes_that_doesnt_know_of_it(
    server_url: str, namespace: str
) -> None:
    """While a new version is rolled out, processes of the one before still write."""
    async with open_store(server_url, namespace) as old, open_store(server_url, namespace) as new:
        before = old.documents("notes")
        await before.put("k", {"owner": "bob"}, 0)
        after = new.documents("notes", ("owner",))
        assert [each.key for each in await after.find("owner", "bob", limit=9)] == ["k"]
        await before.put("k", {"owner": "ann"}, 1)
        await before.put("l", {"owner": "ann"}, 0)
        assert [each.key for each in await after.find("owner", "ann", limit=9)] == ["k", "l"]
        assert await after.find("owner", "bob", limit=9) == []
