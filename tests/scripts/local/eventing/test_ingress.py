from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .harness import ANY_EVENT, Running, manifests, receiving, running, trigger

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, manifests()) as one:
        yield one


async def test_an_event_in_binary_mode_is_taken(broker: Running) -> None:
    assert (await broker.post(body=b'{"a":1}', attributes={"subject": "caf%C3%A9"}))[0] == 202
    (record,) = await broker.eventing.tail(10)
    assert record.attributes["subject"] == "café"
    assert record.data == b'{"a":1}'


async def test_an_event_in_structured_mode_is_stored_as_binary_mode_sends_it(broker: Running) -> None:
    event = ANY_EVENT | {"datacontenttype": "application/json", "data": {"a": 1}, "partitionkey": "k"}
    assert (await broker.post(headers=STRUCTURED, body=json.dumps(event).encode()))[0] == 202
    (record,) = await broker.eventing.tail(10)
    assert (b"content-type", b"application/json") in record.headers
    assert json.loads(record.data) == {"a": 1}
    assert record.key == "k"


async def test_binary_data_of_a_structured_event_arrives_as_its_bytes(broker: Running) -> None:
    event = ANY_EVENT | {"data_base64": base64.b64encode(b"\x00\xff").decode()}
    assert (await broker.post(headers=STRUCTURED, body=json.dumps(event).encode()))[0] == 202
    (record,) = await broker.eventing.tail(10)
    assert record.data == b"\x00\xff"


async def test_a_batch_is_stored_whole_and_in_order(broker: Running) -> None:
    batch = [ANY_EVENT | {"id": str(number)} for number in range(5)]
    assert (await broker.post(headers=BATCHED, body=json.dumps(batch).encode()))[0] == 202
    assert [record.attributes["id"] for record in await broker.eventing.tail(10)] == ["0", "1", "2", "3", "4"]


async def test_an_empty_batch_is_taken(broker: Running) -> None:
    assert (await broker.post(headers=BATCHED, body=b"[]"))[0] == 202
    assert await broker.eventing.tail(10) == []


async def test_a_batch_with_one_invalid_event_is_refused_whole(broker: Running) -> None:
    batch = [ANY_EVENT, ANY_EVENT | {"source": ""}]
    code, _, text = await broker.post(headers=BATCHED, body=json.dumps(batch).encode())
    assert code == 400
    assert "source" in text
    assert await broker.eventing.tail(10) == []


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"content-type": "application/json"}, b"{}", "no CloudEvent"),
        ({f"ce-{name}": value for name, value in ANY_EVENT.items() if name != "id"}, b"", "id"),
        (STRUCTURED, b"{", "JSON"),
        (STRUCTURED, json.dumps(ANY_EVENT | {"specversion": "0.3"}).encode(), "specversion"),
        (STRUCTURED, json.dumps(ANY_EVENT | {"time": "yesterday"}).encode(), "time"),
    ],
)
async def test_what_is_no_event_is_refused_with_the_reason(
    broker: Running, headers: dict[str, str], body: bytes, reason: str
) -> None:
    """Promise 38: an invalid CloudEvent has no effect."""
    code, _, text = await broker.post(headers=headers, body=body)
    assert code == 400
    assert reason in text
    assert await broker.eventing.tail(10) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/hadal/other", 404),
        ("/other/default", 404),
        ("/", 404),
        ("/hadal", 400),
        ("/hadal/default/more", 400),
    ],
)
async def test_a_path_that_leads_to_no_broker_names_those_that_are_there(
    broker: Running, path: str, code: int
) -> None:
    status, _, text = await broker.post(path)
    assert status == code
    assert "/hadal/default" in text


@pytest.mark.parametrize(
    "path", ["/hadal/default/", "/hadal/default?x=1", "http://kafka-broker-ingress/hadal/default"]
)
async def test_other_spellings_of_the_path_lead_to_the_broker(broker: Running, path: str) -> None:
    assert (await broker.post(path))[0] == 202


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
async def test_only_post_is_allowed(broker: Running, method: bytes) -> None:
    response = await broker.client.request(method, "127.0.0.1", broker.server.port, b"/hadal/default")
    assert response.status == 405
    assert response.header(b"allow") == b"POST, OPTIONS"


async def test_options_allows_any_origin_and_rate(broker: Running) -> None:
    response = await broker.client.request(b"OPTIONS", "127.0.0.1", broker.server.port, b"/hadal/default")
    assert response.status == 200
    assert response.header(b"webhook-allowed-origin") == b"*"
    assert response.header(b"webhook-allowed-rate") == b"*"


async def test_a_5_mb_event_is_refused_and_the_next_one_is_taken(broker: Running) -> None:
    """Promise 44: a 5 MB event is refused."""
    code, _, text = await broker.post(body=b"x" * 5_000_000)
    assert code == 413
    assert "1048576" in text
    assert (await broker.post(body=b"x" * 1_000_000))[0] == 202


async def test_an_event_that_waits_for_its_last_hop_is_refused_by_the_channel_based_class(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        one = manifests(trigger("t", receiver.destination), klass="MTChannelBasedBroker")
        async with running(tmp_path, one) as broker:
            code, _, text = await broker.post(attributes={"knativebrokerttl": "1"})
            assert code == 400
            assert "knativebrokerttl" in text
            assert (await broker.post(attributes={"id": "2", "knativebrokerttl": "2"}))[0] == 202
            (delivery,) = await receiver.until(1)
            assert delivery.id == "2"
