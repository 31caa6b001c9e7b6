from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from scripts.local.manifests.model import Delivery

from .harness import Received, Reply, eventually, manifests, receiving, running, trigger


async def test_an_ordered_trigger_keeps_the_order_of_each_key(tmp_path: Path) -> None:
    async def slowly(_: Received) -> Reply:
        await asyncio.sleep(0)
        return 204, [], b""

    async with (
        receiving(slowly) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination, ordered=True))) as broker,
    ):
        for number in range(200):
            await broker.store(str(number), partitionkey=f"key-{number % 7}")
        await broker.idle()
        by_key = defaultdict(list)
        for delivery in receiver.received:
            by_key[delivery.attribute("partitionkey")].append(int(delivery.id))
        assert len(receiver.received) == 200
        assert all(ids == sorted(ids) for ids in by_key.values())


async def test_events_of_one_key_are_never_in_flight_together(tmp_path: Path) -> None:
    in_flight: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)

    async def count(delivery: Received) -> Reply:
        key = delivery.attribute("partitionkey") or ""
        in_flight[key] += 1
        most[key] = max(most[key], in_flight[key])
        await asyncio.sleep(0.001)
        in_flight[key] -= 1
        return 204, [], b""

    async with (
        receiving(count) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination, ordered=True))) as broker,
    ):
        for number in range(40):
            await broker.store(str(number), partitionkey=f"key-{number % 2}")
        await broker.idle()
    assert set(most.values()) == {1}


async def test_a_poison_event_holds_back_its_own_key_only(tmp_path: Path) -> None:
    """Promise 43: bounded retries, dead letter, and the others keep moving."""

    def answer(delivery: Received) -> Reply:
        return (500 if delivery.id == "poison" else 204), [], b""

    async with receiving(answer) as receiver:
        # The back-off of the poison event ends long after the test has seen the others.
        patient = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=60.0, timeout_s=5.0)
        one = manifests(trigger("t", receiver.destination, ordered=True, delivery=patient))
        async with running(tmp_path, one) as broker:
            await broker.store("poison", partitionkey="bad")
            await broker.store("behind", partitionkey="bad")
            await broker.store(*(f"other-{number}" for number in range(50)), partitionkey="good")
            await broker.store(*(f"keyless-{number}" for number in range(50)))
            await receiver.until(101)
            assert "behind" not in receiver.ids
            (state,) = broker.eventing.lag()
            assert (state.lag, state.waiting) == (2, 1)


async def test_what_waited_behind_a_poison_event_comes_after_its_dead_letter(tmp_path: Path) -> None:
    """Promise 43: its partition keeps moving."""
    async with (
        receiving(lambda delivery: (500, [], b"") if delivery.id == "poison" else (204, [], b"")) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination, ordered=True))) as broker,
    ):
        await broker.store("poison", "second", "third", partitionkey="k")
        await broker.idle()
        assert receiver.ids == ["poison"] * 4 + ["second", "third"]
        (letter,) = await broker.eventing.dead_letters()
        assert letter.record.attributes["id"] == "poison"


async def test_events_without_a_key_wait_for_none(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def answer(delivery: Received) -> Reply:
        if delivery.id == "first":
            await gate.wait()
        return 204, [], b""

    async with (
        receiving(answer) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination, ordered=True))) as broker,
    ):
        await broker.store("first", "second")
        await receiver.until(2)
        gate.set()
        await broker.idle()


async def test_an_unordered_trigger_delivers_one_key_at_once(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def answer(delivery: Received) -> Reply:
        if delivery.id == "2":
            arrived.set()
        await arrived.wait()
        return 204, [], b""

    async with (
        receiving(answer) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination))) as broker,
    ):
        await broker.store("1", "2", partitionkey="k")
        await broker.idle()
        assert sorted(receiver.ids) == ["1", "2"]


async def test_a_long_queue_behind_one_key_is_read_again_from_the_log(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def answer(delivery: Received) -> Reply:
        if delivery.id == "0":
            await gate.wait()
        return 204, [], b""

    async with (
        receiving(answer) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination, ordered=True))) as broker,
    ):
        for number in range(12):  # 12 events of 1 MB: more than a Trigger keeps in memory
            code, _, _ = await broker.post(
                attributes={"id": str(number), "partitionkey": "k"},
                body=b"%d" % number + b"x" * 1_000_000,
            )
            assert code == 202
        await receiver.until(1)
        gate.set()
        await broker.idle()
        assert receiver.ids == [str(number) for number in range(12)]
        assert all(len(delivery.body) > 1_000_000 for delivery in receiver.received)
        await eventually(lambda: broker.eventing.lag()[0].taken == 12, "all to be counted")
