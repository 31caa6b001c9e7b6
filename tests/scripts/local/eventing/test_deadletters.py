from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scripts.local.manifests.model import Delivery

from .harness import Received, Receiver, Reply, manifests, receiving, running, status, trigger


def giving_up(sink: Receiver | None = None, retry: int = 0) -> Delivery:
    return Delivery(retry, "linear", 0.005, 5.0, sink.destination if sink else None)


async def test_a_triggers_own_sink_goes_before_the_brokers(tmp_path: Path) -> None:
    async with receiving(status(422)) as receiver, receiving() as own, receiving() as brokers:
        two = manifests(
            trigger("own", receiver.destination, delivery=giving_up(own)),
            trigger("inherits", receiver.destination),
            delivery=giving_up(brokers),
        )
        async with running(tmp_path, two) as broker:
            await broker.store("1")
            await broker.idle()
            assert (own.ids, brokers.ids) == (["1"], ["1"])
            letters = await broker.eventing.dead_letters()
            assert {letter.trigger: letter.sink for letter in letters} == {
                "hadal/own": "delivered",
                "hadal/inherits": "delivered",
            }


async def test_a_dead_letter_tells_why_even_without_a_sink(tmp_path: Path) -> None:
    async with (
        receiving(status(422, b"bad data")) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination), delivery=giving_up())) as broker,
    ):
        await broker.store("1")
        await broker.idle()
        (letter,) = await broker.eventing.dead_letters()
        assert (letter.trigger, letter.broker, letter.sink) == ("hadal/t", "hadal/default", "none")
        assert letter.failure.reason.endswith("answered 422: bad data")
        assert (letter.failure.code, letter.failure.data) == (422, b"bad data")
        assert letter.record.attributes["id"] == "1"
        assert broker.eventing.lag()[0].dead == 1


async def test_a_sink_that_fails_is_tried_by_the_same_policy_and_the_letter_is_kept(tmp_path: Path) -> None:
    async with receiving(status(500)) as receiver, receiving(status(503, b"full")) as dead:
        one = manifests(trigger("t", receiver.destination, delivery=giving_up(dead, retry=2)))
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            await broker.idle()
            assert (len(receiver.received), len(dead.received)) == (3, 3)
            (letter,) = await broker.eventing.dead_letters()
            assert letter.sink.endswith("answered 503: full")


async def test_error_extensions_of_an_earlier_dead_letter_are_replaced(tmp_path: Path) -> None:
    async with receiving(status(422)) as receiver, receiving() as dead:
        one = manifests(trigger("t", receiver.destination, delivery=giving_up(dead)))
        async with running(tmp_path, one) as broker:
            await broker.store(
                "1", knativeerrordest="http://old/", knativeerrorcode="500", knativeerrordata="eA=="
            )
            (letter,) = await dead.until(1)
            assert letter.attribute("knativeerrordest") == f"http://127.0.0.1:{receiver.port}/"
            assert letter.attribute("knativeerrorcode") == "422"
            assert letter.attribute("knativeerrordata") is None


async def test_a_dead_letter_is_delivered_again_to_its_own_trigger_and_then_forgotten(tmp_path: Path) -> None:
    healthy = False

    def answer(_: Received) -> Reply:
        return (204 if healthy else 422), [], b""

    async with receiving(answer) as receiver, receiving() as other:
        two = manifests(
            trigger("t", receiver.destination), trigger("other", other.destination), delivery=giving_up()
        )
        async with running(tmp_path, two) as broker:
            await broker.store("1", "2")
            await broker.idle()
            letters = await broker.eventing.dead_letters()
            assert len(letters) == 2
            healthy = True
            assert await broker.eventing.redeliver(letters[0].id) == 1
            await receiver.until(3)
            await broker.idle()
            assert [letter.id for letter in await broker.eventing.dead_letters()] == [letters[1].id]
            assert len(other.received) == 2


async def test_all_dead_letters_are_delivered_again_however_many(tmp_path: Path) -> None:
    healthy = False

    def answer(_: Received) -> Reply:
        return (204 if healthy else 422), [], b""

    async with (
        receiving(answer) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination), delivery=giving_up())) as broker,
    ):
        await broker.store(*(str(number) for number in range(250)))
        await broker.idle()
        healthy = True
        assert await broker.eventing.redeliver() == 250
        await receiver.until(500)
        await broker.idle()
        assert await broker.eventing.dead_letters() == []


async def test_a_letter_that_fails_again_stays_with_the_new_reason(tmp_path: Path) -> None:
    code = 422
    async with (
        receiving(lambda _: (code, [], b"")) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination), delivery=giving_up())) as broker,
    ):
        await broker.store("1")
        await broker.idle()
        (before,) = await broker.eventing.dead_letters()
        code = 410
        await broker.eventing.redeliver(before.id)
        await receiver.until(2)
        await broker.idle()
        (after,) = await broker.eventing.dead_letters()
        assert (after.id, after.failure.code) == (before.id, 410)


async def test_redelivery_of_what_is_not_there_says_so(tmp_path: Path) -> None:
    async with receiving(status(422)) as receiver:
        async with running(
            tmp_path, manifests(trigger("t", receiver.destination), delivery=giving_up())
        ) as broker:
            await broker.store("1")
            await broker.idle()
            (letter,) = await broker.eventing.dead_letters()
            with pytest.raises(LookupError, match="there is no dead letter 99"):
                await broker.eventing.redeliver(99)
        async with running(tmp_path, manifests(trigger("new", receiver.destination))) as broker:
            with pytest.raises(LookupError, match="the Trigger hadal/t of dead letter 1 is no more"):
                await broker.eventing.redeliver(letter.id)
            assert await broker.eventing.redeliver() == 0


async def test_events_can_be_followed_as_they_pass(tmp_path: Path) -> None:
    async with running(tmp_path, manifests()) as broker:
        await broker.store("before")
        following = broker.eventing.follow()
        first = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)  # the follower listens from its first step on
        await broker.store("1", "2")
        assert (await first).attributes["id"] == "1"
        assert (await anext(following)).attributes["id"] == "2"
        await following.aclose()


async def test_the_last_events_are_told_oldest_first(tmp_path: Path) -> None:
    async with running(tmp_path, manifests()) as broker:
        await broker.store("1", "2", "3")
        assert [record.attributes["id"] for record in await broker.eventing.tail(2)] == ["2", "3"]
