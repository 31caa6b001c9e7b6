"""Changed manifests, applied to a Broker that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scripts.local.manifests.model import Destination, Manifests, PingSource

from .harness import HERE, broker, eventually, filters, manifests, receiving, running, status, trigger

EVERY_SECOND = PingSource(
    "clock", "hadal", HERE, "* * * * * *", Destination(HERE, kind="Broker", namespace="hadal", name="default")
)


async def test_a_trigger_that_comes_takes_the_next_event_and_one_that_goes_takes_no_more(
    tmp_path: Path,
) -> None:
    async with receiving() as kept, receiving() as came, receiving() as gone:
        stays = trigger("stays", kept.destination)
        async with running(tmp_path, manifests(stays, trigger("goes", gone.destination))) as here:
            await here.store("1")
            await here.idle()
            await here.eventing.apply(manifests(stays, trigger("comes", came.destination)))
            await here.store("2")
            await here.idle()
            assert [each.trigger for each in here.eventing.lag()] == ["hadal/comes", "hadal/stays"]
        assert (kept.ids, came.ids, gone.ids) == (["1", "2"], ["2"], ["1"])


async def test_a_changed_trigger_goes_on_where_it_was_and_an_equal_one_is_left_alone(tmp_path: Path) -> None:
    async with receiving(status(503)) as receiver, receiving() as other:
        patient = replace(broker().delivery, retry=3, backoff_delay_s=60.0)
        first = manifests(
            trigger("changes", receiver.destination), trigger("stays", other.destination), delivery=patient
        )
        async with running(tmp_path, first) as here:
            await here.store("1")
            await eventually(lambda: here.eventing.lag()[0].waiting == 1, "the event to be in back-off")
            changed = trigger("changes", receiver.destination, filters=filters({"prefix": {"type": "dev."}}))
            receiver.answer = status(204)
            await here.eventing.apply(replace(first, triggers=(changed, first.triggers[1])))
            await here.idle()
            assert here.eventing.lag()[1].taken == 1, "its counts are those of before"
        assert (receiver.ids, other.ids) == (["1", "1"], ["1"])


async def test_a_broker_comes_and_goes(tmp_path: Path) -> None:
    async with receiving() as receiver, running(tmp_path, Manifests()) as here:
        assert (await here.post())[0] == 404
        await here.eventing.apply(manifests(trigger("t", receiver.destination)))
        await here.store("1")
        await here.idle()
        await here.eventing.apply(Manifests())
        assert (await here.post())[0] == 404
        await here.eventing.apply(manifests(trigger("t", receiver.destination)))
        await here.store("2")
        await here.idle()
        assert receiver.ids == ["1", "2"]


async def test_a_broker_s_other_class_is_that_of_its_triggers(tmp_path: Path) -> None:
    async with receiving() as receiver:
        one = manifests(trigger("t", receiver.destination))
        async with running(tmp_path, one) as here:
            await here.eventing.apply(replace(one, brokers=(broker("MTChannelBasedBroker"),)))
            await here.store("1")
            await here.idle()
        assert receiver.received[0].attribute("knativearrivaltime")
        assert receiver.received[0].attribute("knativekafkaoffset") is None


async def test_a_source_that_goes_sends_no_more_and_one_that_stays_is_not_started_twice(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        quiet = manifests(trigger("t", receiver.destination))
        ticking = replace(quiet, ping_sources=(EVERY_SECOND,))
        async with running(tmp_path, quiet) as here:
            await here.eventing.apply(ticking)
            await here.eventing.apply(ticking)
            await receiver.until(2)
            seconds = [delivery.attribute("time") for delivery in receiver.received]
            assert len({str(time)[:19] for time in seconds}) == len(seconds)
            await here.eventing.apply(quiet)
            assert here.eventing._pings == []
