"""What every `EventStore` does. An adapter runs it by one fixture line."""

from __future__ import annotations

import asyncio

import pytest

from events import CloudEvent
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import EventStore, Recorded


def event(name: str, **extensions: str | int | bool | bytes) -> CloudEvent:
    return CloudEvent(
        id=name,
        source="/test",
        type="test.happened.v1",
        subject="s",
        time="2026-11-01T10:00:00.123Z",
        datacontenttype="application/json",
        data=b'{ "b": 1,  "a": 2}',
        extensions=extensions,
    )


class EventStoreContract:
    async def test_what_was_appended_is_read_in_order(self, store: EventStore) -> None:
        assert await store.append("a", [event("1"), event("2")], 0) == 2
        assert await store.append("a", [event("3")], 2) == 3
        read = await store.read("a")
        assert [(each.stream, each.version, each.event.id) for each in read] == [
            ("a", 1, "1"),
            ("a", 2, "2"),
            ("a", 3, "3"),
        ]

    async def test_an_event_comes_back_exactly_as_it_was(self, store: EventStore) -> None:
        kept = event("1", tenant="t", sequence="0000000001", flag=True, count=7, blob=b"\x00\xff")
        bare = CloudEvent(id="2", source="/test", type="test.happened.v1")
        await store.append("a", [kept, bare], 0)
        read = [each.event for each in await store.read("a")]
        assert [vars_of(each) for each in read] == [vars_of(kept), vars_of(bare)]

    async def test_a_stream_that_nobody_wrote_is_empty(self, store: EventStore) -> None:
        assert await store.read("absent") == []

    async def test_reading_behind_a_version_skips_what_is_known(self, store: EventStore) -> None:
        await store.append("a", [event("1"), event("2"), event("3")], 0)
        assert [each.version for each in await store.read("a", 2)] == [3]
        assert await store.read("a", 3) == []

    @pytest.mark.parametrize("expected", [0, 1, 3])
    async def test_an_append_behind_another_version_is_a_conflict_and_writes_nothing(
        self, store: EventStore, expected: int
    ) -> None:
        await store.append("a", [event("1"), event("2")], 0)
        with pytest.raises(VersionConflict):
            await store.append("a", [event("x"), event("y")], expected)
        assert [each.event.id for each in await store.read("a")] == ["1", "2"]
        assert [each.event.id for each in await store.unpublished(10)] == ["1", "2"]

    async def test_the_same_append_twice_is_a_conflict_the_second_time(self, store: EventStore) -> None:
        await store.append("a", [event("1")], 0)
        with pytest.raises(VersionConflict):
            await store.append("a", [event("1")], 0)

    async def test_of_a_hundred_writers_at_one_version_exactly_one_wins(self, store: EventStore) -> None:
        """Promise 40 rests on it: compare-and-set of a stream's version."""
        await store.append("a", [event("first")], 0)
        outcomes = await asyncio.gather(
            *(store.append("a", [event(f"w{n}"), event(f"w{n}b")], 1) for n in range(100)),
            return_exceptions=True,
        )
        assert [outcome for outcome in outcomes if not isinstance(outcome, VersionConflict)] == [3]
        assert len(await store.read("a")) == 3
        assert len(await store.unpublished(1000)) == 3

    async def test_an_append_of_nothing_only_checks_the_version(self, store: EventStore) -> None:
        await store.append("a", [event("1")], 0)
        assert await store.append("a", [], 1) == 1
        with pytest.raises(VersionConflict):
            await store.append("a", [], 0)
        assert [each.event.id for each in await store.read_all(0, 10)] == ["1"]

    async def test_a_large_append_stands_whole_and_is_read_in_pages(self, store: EventStore) -> None:
        """The most that the port is sure to take; pages end and begin inside of it."""
        await store.append("a", [event(str(n)) for n in range(1_000)], 0)
        await store.append("b", [event("1000")], 0)
        seen: list[Recorded] = []
        while page := await store.read_all(seen[-1].position if seen else 0, 300):
            seen += page
        assert [each.event.id for each in seen] == [str(n) for n in range(1_001)]
        assert await store.read("a", 998) == seen[998:1_000]
        await store.mark_published(seen[:999])
        assert await store.unpublished(1_000) == seen[999:]

    @pytest.mark.parametrize("stream", ["t/\x00", "t/\x010", "' OR 1=1 --", "{$gt: ''}", "ä€🌊"])
    async def test_the_name_of_a_stream_is_only_ever_compared(self, store: EventStore, stream: str) -> None:
        """Promise 23."""
        await store.append("other", [event("1")], 0)
        await store.append(stream, [event("2")], 0)
        assert [(each.stream, each.event.id) for each in await store.read(stream)] == [(stream, "2")]
        assert [each.stream for each in await store.read_all(0, 10)] == ["other", stream]

    async def test_all_streams_are_read_in_the_order_of_position(self, store: EventStore) -> None:
        await store.append("a", [event("1")], 0)
        await store.append("b", [event("2"), event("3")], 0)
        await store.append("a", [event("4")], 1)
        read = await store.read_all(0, 10)
        positions = [each.position for each in read]
        assert [each.event.id for each in read] == ["1", "2", "3", "4"]
        assert positions == sorted(set(positions))
        assert [each.event.id for each in await store.read_all(positions[1], 1)] == ["3"]
        assert await store.read_all(positions[-1], 10) == []

    async def test_a_reader_of_all_streams_misses_nothing_while_others_write(self, store: EventStore) -> None:
        async def write(stream: str) -> None:
            for version in range(20):
                await store.append(stream, [event(f"{stream}-{version}")], version)

        writing = asyncio.gather(*(write(f"s{n}") for n in range(10)))
        seen: list[str] = []
        position = 0
        while not writing.done() or len(seen) < 200:
            page = await store.read_all(position, 7)
            seen += [each.event.id for each in page]
            position = page[-1].position if page else position
            await asyncio.sleep(0)
        assert len(seen) == len(set(seen)) == 200

    async def test_the_outbox_holds_events_until_they_are_marked(self, store: EventStore) -> None:
        await store.append("a", [event("1"), event("2")], 0)
        await store.append("b", [event("3")], 0)
        first, second, third = await store.unpublished(10)
        assert await store.unpublished(2) == [first, second]
        await store.mark_published([second])
        assert await store.unpublished(10) == [first, third]
        assert [each.event.id for each in await store.read("a")] == ["1", "2"]

    async def test_marking_twice_or_nothing_is_harmless(self, store: EventStore) -> None:
        await store.append("a", [event("1")], 0)
        waiting = await store.unpublished(10)
        await store.mark_published(waiting)
        await store.mark_published(waiting)
        await store.mark_published([])
        assert await store.unpublished(10) == []


def vars_of(kept: CloudEvent) -> dict[str, object]:
    return {name: getattr(kept, name) for name in CloudEvent.__slots__}
