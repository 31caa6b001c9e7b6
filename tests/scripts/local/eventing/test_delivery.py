"""The rows of the table "Measured on real brokers" (Knative 1.23), for both classes of Brokers."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from scripts.local.manifests.model import Delivery, Destination

from .harness import (
    HERE,
    SOON,
    Received,
    Reply,
    Services,
    manifests,
    receiving,
    running,
    service,
    status,
    trigger,
)

KAFKA, CHANNEL = "Kafka", "MTChannelBasedBroker"
both_classes = pytest.mark.parametrize("klass", [KAFKA, CHANNEL])
JSON = (b"content-type", b"application/json")


def answering(code: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> Reply:
    return code, headers, body


@both_classes
@pytest.mark.parametrize("code", [200, 202, 204])
@pytest.mark.parametrize("headers", [[], [JSON]])
async def test_an_empty_2xx_acknowledges(
    tmp_path: Path, klass: str, code: int, headers: list[tuple[bytes, bytes]]
) -> None:
    async with (
        receiving(lambda _: answering(code, headers)) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination), klass=klass)) as broker,
    ):
        await broker.store("1")
        await receiver.until(1)
        await broker.idle()
        assert receiver.ids == ["1"]
        assert await broker.eventing.dead_letters() == []


@both_classes
async def test_an_event_in_a_2xx_enters_the_broker_again(tmp_path: Path, klass: str) -> None:
    def reply(_: Received) -> Reply:
        headers = [
            (b"ce-specversion", b"1.0"),
            (b"ce-id", b"r"),
            (b"ce-source", b"/f"),
            (b"ce-type", b"reply"),
            JSON,
        ]
        return 200, headers, b'{"b":2}'

    async with receiving(reply) as asked, receiving() as told:
        both = manifests(
            trigger("ask", asked.destination, filter_attributes={"type": "dev.hadal.test.v1"}),
            trigger("tell", told.destination, filter_attributes={"type": "reply"}),
            klass=klass,
        )
        async with running(tmp_path, both) as broker:
            await broker.store("1")
            (delivery,) = await told.until(1)
            assert (delivery.id, delivery.body) == ("r", b'{"b":2}')
            await broker.idle()
            assert asked.ids == ["1"]


@both_classes
async def test_a_structured_event_is_a_reply_too(tmp_path: Path, klass: str) -> None:
    event = {"specversion": "1.0", "id": "r", "source": "/f", "type": "reply"}

    async with receiving(
        lambda _: (200, [(b"content-type", b"application/cloudevents+json")], json.dumps(event).encode())
    ) as asked:
        one = manifests(
            trigger("t", asked.destination, filter_attributes={"type": "dev.hadal.test.v1"}), klass=klass
        )
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            await broker.idle()
            assert [record.attributes["id"] for record in await broker.eventing.tail(5)] == ["1", "r"]


@both_classes
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"content-type", b"text/plain")], b"OK"),
        ([JSON], b'{"done":true}'),
        ([(b"ce-specversion", b"1.0"), (b"ce-id", b"r")], b""),
    ],
)
async def test_a_2xx_with_a_body_that_is_no_event_is_a_failure(
    tmp_path: Path, klass: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    async with receiving(lambda _: (200, headers, body)) as receiver, receiving() as dead:
        delivery = Delivery(3, "linear", 0.005, 5.0, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=klass)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            await broker.idle()
            assert len(receiver.received) == (1 if klass == KAFKA else 4)
            assert letter.attribute("knativeerrorcode") is None
            assert letter.attribute("knativeerrordata") is None
            assert (letter.attribute("knativeerrordest") is not None) == (klass == KAFKA)


@both_classes
@pytest.mark.parametrize("code", [301, 400, 401, 403, 410, 413, 422, 425])
async def test_a_refusal_for_good_is_a_dead_letter_at_once(tmp_path: Path, klass: str, code: int) -> None:
    async with receiving(status(code, b"no such thing")) as receiver, receiving() as dead:
        delivery = Delivery(3, "linear", 0.005, 5.0, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=klass)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            await broker.idle()
            assert receiver.ids == ["1"]
            assert letter.attribute("knativeerrorcode") == str(code)
            assert base64.b64decode(letter.attribute("knativeerrordata") or "") == b"no such thing"
            assert letter.attribute("knativeerrordest") == f"http://127.0.0.1:{receiver.port}/"


@both_classes
@pytest.mark.parametrize("code", [404, 408, 409, 429, 500, 501, 503])
async def test_a_passing_refusal_is_tried_four_times_and_then_a_dead_letter(
    tmp_path: Path, klass: str, code: int
) -> None:
    async with receiving(status(code, b"later")) as receiver, receiving() as dead:
        delivery = Delivery(3, "linear", 0.005, 5.0, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=klass)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            await broker.idle()
            assert receiver.ids == ["1"] * 4
            assert letter.attribute("knativeerrorcode") == str(code)


@both_classes
async def test_no_answer_in_time_is_tried_four_times_and_then_a_dead_letter_without_code(
    tmp_path: Path, klass: str
) -> None:
    async def never(_: Received) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with receiving(never) as receiver, receiving() as dead:
        delivery = Delivery(3, "linear", 0.005, 0.05, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=klass)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            await broker.idle()
            assert receiver.ids == ["1"] * 4
            assert letter.attribute("knativeerrorcode") is None
            assert letter.attribute("knativeerrordata") is None
            assert letter.attribute("knativeerrordest") is not None


async def test_a_subscriber_that_is_not_there_is_tried_and_given_up(tmp_path: Path) -> None:
    async with receiving() as gone:
        destination = gone.destination
    async with running(tmp_path, manifests(trigger("t", destination))) as broker:
        await broker.store("1")
        await broker.idle()
        (letter,) = await broker.eventing.dead_letters()
        assert "can't be reached" in letter.failure.reason
        assert (letter.failure.code, letter.sink) == (None, "none")


async def test_a_subscriber_that_recovers_gets_the_event(tmp_path: Path) -> None:
    codes = iter([503, 500, 204])
    async with (
        receiving(lambda _: (next(codes), [], b"")) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination))) as broker,
    ):
        await broker.store("1")
        await broker.idle()
        assert receiver.ids == ["1"] * 3
        assert await broker.eventing.dead_letters() == []


@pytest.mark.parametrize(("klass", "kept_bytes"), [(KAFKA, 1_024), (CHANNEL, 768)])
async def test_error_data_is_the_beginning_of_the_refusal(
    tmp_path: Path, klass: str, kept_bytes: int
) -> None:
    async with receiving(status(422, b"x" * 5_000)) as receiver, receiving() as dead:
        delivery = Delivery(0, "linear", 0.0, 5.0, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=klass)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            assert base64.b64decode(letter.attribute("knativeerrordata") or "") == b"x" * kept_bytes


async def test_the_request_is_binary_and_says_what_knative_says(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination))) as broker,
    ):
        await broker.post(
            headers={
                "content-type": "application/cloudevents+json",
            },
            body=json.dumps(
                {
                    "specversion": "1.0",
                    "id": "ä %",
                    "source": "/s",
                    "type": "t",
                    "tenant": "acme",
                    "datacontenttype": "application/json",
                    "data": {"a": "ö"},
                }
            ).encode(),
        )
        (delivery,) = await receiver.until(1)
        assert delivery.headers["prefer"] == "reply"
        assert delivery.headers["kn-namespace"] == "hadal"
        assert delivery.headers["content-type"] == "application/json"
        assert delivery.id == "%C3%A4%20%25"
        assert delivery.attribute("tenant") == "acme"
        assert json.loads(delivery.body) == {"a": "ö"}


async def test_the_kafka_class_tells_partition_and_offset_and_keeps_no_foreign_ones(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination))) as broker,
    ):
        await broker.store("0", "1", knativekafkaoffset="77", knativekafkapartition="9")
        places = {
            delivery.id: (
                delivery.attribute("knativekafkapartition"),
                delivery.attribute("knativekafkaoffset"),
            )
            for delivery in await receiver.until(2)
        }
        assert places == {"0": ("0", "0"), "1": ("0", "1")}
        assert receiver.received[0].attribute("knativearrivaltime") is None


async def test_the_channel_based_class_tells_the_arrival_and_hides_the_hops(tmp_path: Path) -> None:
    async with receiving(status(422)) as receiver, receiving() as dead:
        delivery = Delivery(0, "linear", 0.0, 5.0, dead.destination)
        one = manifests(trigger("t", receiver.destination, delivery=delivery), klass=CHANNEL)
        async with running(tmp_path, one) as broker:
            await broker.store("1")
            (letter,) = await dead.until(1)
            assert receiver.received[0].attribute("knativearrivaltime")
            assert receiver.received[0].attribute("knativebrokerttl") is None
            assert letter.attribute("knativearrivaltime")
            assert letter.attribute("knativebrokerttl") == "255"
            assert letter.attribute("knativekafkaoffset") is None


async def test_a_loop_of_replies_ends_at_the_channel_based_class(tmp_path: Path) -> None:
    def again(delivery: Received) -> Reply:
        kept = [
            (name.encode(), value.encode())
            for name, value in delivery.headers.items()
            if name.startswith("ce-")
        ]
        return 200, kept, b""

    async with (
        receiving(again) as receiver,
        running(tmp_path, manifests(trigger("t", receiver.destination), klass=CHANNEL)) as broker,
    ):
        await broker.store("1", knativebrokerttl="6")
        await broker.idle()
        assert len(receiver.received) == 5
        (letter,) = await broker.eventing.dead_letters()
        assert letter.failure.code == 400
        ingress = "http://broker-ingress.knative-eventing.svc.cluster.local/hadal/default"
        assert letter.failure.destination == ingress


async def test_a_service_is_reached_by_its_reference_with_its_path(tmp_path: Path) -> None:
    async with receiving() as receiver:
        destination = Destination(HERE, kind="Service", namespace="hadal", name="chat", uri="/events?x=1")
        one = manifests(trigger("t", destination), services=(service("chat"),))
        async with running(tmp_path, one, Services(chat=receiver.port)) as broker:
            await broker.store("1")
            (delivery,) = await receiver.until(1)
            assert delivery.target == "/events?x=1"
            assert delivery.headers["host"] == "chat.hadal.svc.cluster.local"


async def test_a_broker_can_be_the_subscriber_of_anothers_trigger(tmp_path: Path) -> None:
    from dataclasses import replace

    from .harness import broker as a_broker

    async with receiving() as receiver:
        onward = trigger("onward", Destination(HERE, kind="Broker", namespace="hadal", name="second"))
        last = replace(trigger("last", receiver.destination), broker="second")
        one = manifests(onward, last)
        both = replace(one, brokers=(*one.brokers, a_broker(name="second")))
        async with running(tmp_path, both) as broker:
            await broker.store("1")
            (delivery,) = await receiver.until(1)
            assert delivery.id == "1"


async def test_triggers_get_only_what_they_want(tmp_path: Path) -> None:
    async with receiving() as a, receiving() as b:
        two = manifests(
            trigger("a", a.destination, filter_attributes={"type": "a"}),
            trigger("b", b.destination, filter_attributes={"type": "b"}),
        )
        async with running(tmp_path, two) as broker:
            await broker.store("1", "2", type="a")
            await broker.store("3", type="b")
            await broker.store("4", type="c")
            await broker.idle()
            assert (sorted(a.ids), b.ids) == (["1", "2"], ["3"])


async def test_a_subscriber_that_hangs_holds_no_other_trigger_back(tmp_path: Path) -> None:
    async def never(_: Received) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with receiving(never) as slow, receiving() as quick:
        one = manifests(trigger("slow", slow.destination), trigger("quick", quick.destination), delivery=SOON)
        async with running(tmp_path, one) as broker:
            await broker.store(*(str(number) for number in range(400)))
            await quick.until(400)
            assert len(slow.received) <= 100
            lags = {status.trigger: status.lag for status in broker.eventing.lag()}
            assert lags["hadal/slow"] == 400
