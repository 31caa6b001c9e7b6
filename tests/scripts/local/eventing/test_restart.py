from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from .harness import Received, Reply, eventually, manifests, receiving, running, status, trigger


async def never(_: Received) -> Reply:
    """A subscriber that hangs."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_trigger_goes_on_where_it_was(tmp_path: Path) -> None:
    async with receiving() as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one) as broker:
            await broker.store("1", "2")
            await broker.idle()
        async with running(tmp_path, one) as broker:
            await broker.store("3")
            await broker.idle()
        assert receiver.ids == ["1", "2", "3"]


async def test_what_was_not_acknowledged_comes_after_the_restart_and_before_what_is_new(
    tmp_path: Path,
) -> None:
    async with receiving(never) as receiver:
        one = manifests(trigger("t", receiver.destination, ordered=True))
        async with running(tmp_path, one) as broker:
            await broker.store("1", "2", partitionkey="k")
            await receiver.until(1)
        receiver.answer = status(204)
        receiver.received.clear()
        async with running(tmp_path, one) as broker:
            await broker.store("3", partitionkey="k")
            await broker.idle()
        assert receiver.ids == ["1", "2", "3"]


async def test_what_is_done_above_an_open_event_does_not_come_again(tmp_path: Path) -> None:
    async def answer(delivery: Received) -> Reply:
        return await never(delivery) if delivery.id == "1" else (204, [], b"")

    async with receiving(answer) as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one) as broker:
            await broker.store("1", "2", "3")
            await eventually(lambda: broker.eventing.lag()[0].taken == 2, "two events to be done")
        receiver.received.clear()
        receiver.answer = status(204)
        async with running(tmp_path, one) as broker:
            await broker.idle()
        assert receiver.ids == ["1"]


async def test_events_that_came_while_a_subscriber_was_down_are_all_delivered(tmp_path: Path) -> None:
    async with receiving(never) as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one) as broker:
            await broker.store(*(str(number) for number in range(500)))
        receiver.received.clear()
        receiver.answer = status(204)
        async with running(tmp_path, one) as broker:
            await broker.idle()
        assert sorted(map(int, receiver.ids)) == list(range(500))


async def test_a_new_trigger_begins_with_the_next_event(tmp_path: Path) -> None:
    async with receiving() as old, receiving() as new:
        one = manifests(trigger("old", old.destination))
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            await broker.idle()
        async with running(
            tmp_path, replace(one, triggers=(*one.triggers, trigger("new", new.destination)))
        ) as broker:
            await broker.store("2")
            await broker.idle()
        assert (old.ids, new.ids) == (["1", "2"], ["2"])


async def test_a_trigger_that_was_removed_and_came_back_begins_anew(tmp_path: Path) -> None:
    async with receiving() as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            await broker.idle()
        async with running(tmp_path, manifests()) as broker:
            await broker.store("2")
        async with running(tmp_path, one) as broker:
            await broker.store("3")
            await broker.idle()
        assert receiver.ids == ["1", "3"]


async def test_a_full_disk_answers_503_and_the_broker_recovers_by_itself(tmp_path: Path) -> None:
    """Promise 54: what was refused has no effect, what was taken is delivered, and no restart is needed."""
    async with receiving() as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one, max_pages=60) as broker:  # pages of 16 KB: less than 1 MB
            await broker.store("1")
            code, headers, text = await broker.post(attributes={"id": "2"}, body=b"x" * 1_000_000)
            assert (code, headers["retry-after"]) == (503, "1")
            assert "full" in text
            await broker.store("3")
            await broker.idle()
            assert receiver.ids == ["1", "3"]


@pytest.mark.slow
async def test_a_reply_that_the_log_refuses_is_not_lost(tmp_path: Path) -> None:
    """Promise 54: the event stays open until its reply could be stored."""
    reply = [(b"ce-specversion", b"1.0"), (b"ce-id", b"r"), (b"ce-source", b"/f"), (b"ce-type", b"reply")]
    sizes = iter([1_000_000])  # the first reply doesn't fit, the next one does

    def answer(_: Received) -> Reply:
        return 200, reply, b"x" * next(sizes, 10)

    async with receiving(answer) as receiver:
        one = manifests(trigger("t", receiver.destination, filter_attributes={"type": "dev.hadal.test.v1"}))
        async with running(tmp_path, one, max_pages=60) as broker:
            await broker.store("1")
            await receiver.until(2)
            await broker.idle()
            assert [record.attributes["id"] for record in await broker.eventing.tail(5)] == ["1", "r"]
            assert await broker.eventing.dead_letters() == []
