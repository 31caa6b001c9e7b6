"""Promises 38, 40, 41 and 44 at the door of an event function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events import CloudEvent, InvalidEvent, UnknownFact
from events import http as events_http
from functions._runtime import deduplication
from functions._runtime.adapters.memory import MemoryDocuments
from functions._runtime.deduplication import deduplicated
from functions._runtime.errors import Conflict, NotFound, Problem, Unavailable, Unprocessable
from functions._runtime.function import EventHandler, Function, Ground, application
from functions._runtime.outbound import Answer
from functions._runtime.ports import Document
from functions._runtime.testing import FunctionClient
from tests.functions._runtime.serving.demo import Settings

TYPE = "test.happened.v1"


def event(id_: str = "1", *, source: str = "/test", type_: str = TYPE) -> CloudEvent:
    return CloudEvent(
        id=id_, source=source, type=type_, datacontenttype="application/json", data=b'{"a": 1}', extensions={}
    )


async def post(client: FunctionClient, sent: CloudEvent) -> Answer:
    headers, body = events_http.to_binary(sent)
    return await client.request(
        "POST", "/", headers={name.decode(): value.decode() for name, value in headers}, body=body
    )


@asynccontextmanager
async def consumer(handler: EventHandler) -> AsyncIterator[FunctionClient]:
    async def build(settings: Settings, ground: Ground) -> Function:
        return Function(events={TYPE: handler})

    async with FunctionClient(application("demo", Settings, build, {})) as client:
        yield client


async def accept(taken: CloudEvent) -> None:
    return None


async def metrics(client: FunctionClient) -> str:
    return (await client.request("GET", "/metrics")).body.decode()


async def test_a_handled_event_is_acknowledged_with_an_empty_body() -> None:
    seen: list[CloudEvent] = []

    async def keep(taken: CloudEvent) -> None:
        seen.append(taken)

    async with consumer(keep) as client:
        answer = await post(client, event())
        assert 'hadal_events_total{outcome="acknowledged",type="test.happened.v1"} 1.0' in await metrics(
            client
        )
    assert (answer.status, answer.body) == (204, b"")
    assert [(each.id, each.data) for each in seen] == [("1", b'{"a": 1}')]


async def test_a_reply_goes_back_as_an_event() -> None:
    async def reply(taken: CloudEvent) -> CloudEvent:
        return event("reply", type_="test.replied.v1")

    async with consumer(reply) as client:
        answer = await post(client, event())
    assert answer.status == 200
    assert (answer.headers["ce-type"], answer.headers["content-type"]) == (
        "test.replied.v1",
        "application/json",
    )
    assert answer.body == b'{"a": 1}'


async def test_a_type_that_nobody_handles_is_acknowledged_and_counted() -> None:
    """Promise 44."""
    async with consumer(accept) as client:
        assert (await post(client, event(type_="test.happened.v9"))).status == 204
        assert 'hadal_events_total{outcome="ignored",type="other"} 1.0' in await metrics(client)


async def test_a_family_of_types_goes_to_its_handler_where_a_type_has_none_of_its_own() -> None:
    seen: list[str] = []

    async def family(taken: CloudEvent) -> None:
        seen.append(taken.type)

    async def own(taken: CloudEvent) -> None:
        seen.append("own")

    async def build(settings: Settings, ground: Ground) -> Function:
        return Function(events={"dev.test.*": family, "dev.test.happened.v1": own})

    async with FunctionClient(application("demo", Settings, build, {})) as client:
        for type_ in ("dev.test.happened.v1", "dev.test.happened.v2", "dev.testy.happened.v1", "dev.test"):
            assert (await post(client, event(type_=type_))).status == 204
        assert 'hadal_events_total{outcome="acknowledged",type="dev.test.*"} 1.0' in await metrics(client)
    assert seen == ["own", "dev.test.happened.v2"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x"},
        {"ce-specversion": "1.0", "ce-id": "", "ce-source": "/x", "ce-type": TYPE},
        {"ce-specversion": "0.3", "ce-id": "1", "ce-source": "/x", "ce-type": TYPE},
        {"content-type": "application/cloudevents+json"},
        {"content-type": "application/cloudevents-batch+json"},
    ],
)
async def test_what_is_no_event_has_no_effect_and_is_told_why(headers: dict[str, str]) -> None:
    """Promise 38."""

    async def never(taken: CloudEvent) -> None:
        raise AssertionError("an invalid event reached the handler")

    async with consumer(never) as client:
        answer = await client.request("POST", "/", headers=headers, body=b"{")
        assert 'hadal_events_total{outcome="invalid",type="other"} 1.0' in await metrics(client)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_event")


async def test_an_event_of_5_mb_is_refused() -> None:
    """Promise 44."""
    large = CloudEvent(id="1", source="/x", type=TYPE, data=b"x" * 5_000_000)
    async with consumer(accept) as client:
        assert (await post(client, large)).status == 413


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Unprocessable("no"), 422),
        (InvalidEvent("no", "data"), 422),
        (UnknownFact("no"), 204),
        (Unavailable("no"), 503),
        (NotFound("no"), 503),
        (Conflict("no"), 503),
        (ValueError("canary"), 503),
        (TimeoutError(), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_a_failure_is_told_in_the_brokers_terms(failure: Exception, status: int) -> None:
    """Never 404, 409 or 429: a broker would try those again."""

    async def fail(taken: CloudEvent) -> None:
        raise failure

    async with consumer(fail) as client:
        answer = await post(client, event())
    assert answer.status == status
    assert b"canary" not in answer.body


def inbox() -> MemoryDocuments:
    documents = MemoryDocuments()
    documents.declare(deduplication.INDEXES)
    return documents


class SteppedClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Slow:
    """A handler that isn't idempotent, and takes until it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.failure: Problem | None = None

    async def __call__(self, taken: CloudEvent) -> CloudEvent | None:
        self.runs += 1
        self.began.set()
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return event(f"reply-{self.runs}")


async def test_an_event_sent_a_thousand_times_at_once_is_handled_once() -> None:
    """Promise 40: the others are told to come again, and get the stored reply then."""
    slow = Slow()
    once = deduplicated(slow, inbox(), SteppedClock())
    handling = [asyncio.ensure_future(once(event())) for _ in range(1000)]
    await slow.began.wait()
    slow.go_on.set()
    outcomes = await asyncio.gather(*handling, return_exceptions=True)
    replies = [outcome for outcome in outcomes if isinstance(outcome, CloudEvent)]
    assert slow.runs == 1
    assert {reply.id for reply in replies} == {"reply-1"}
    assert all(isinstance(outcome, CloudEvent | Unavailable) for outcome in outcomes)
    again = await once(event())
    assert again is not None
    assert (again.id, again.data, slow.runs) == ("reply-1", b'{"a": 1}', 1)


async def test_the_same_id_of_another_source_is_another_event() -> None:
    """Promise 41."""
    slow = Slow()
    slow.go_on.set()
    once = deduplicated(slow, inbox(), SteppedClock())
    await once(event(source="/a"))
    await once(event(source="/b"))
    assert slow.runs == 2


async def test_a_failed_try_leaves_the_way_free() -> None:
    slow = Slow()
    slow.go_on.set()
    slow.failure = Unavailable("not now")
    once = deduplicated(slow, inbox(), SteppedClock())
    with pytest.raises(Unavailable):
        await once(event())
    slow.failure = None
    assert await once(event()) is not None
    assert slow.runs == 2


async def test_a_claim_of_a_process_that_died_runs_out() -> None:
    clock = SteppedClock()
    documents = inbox()
    dead, alive = Slow(), Slow()
    alive.go_on.set()
    handling = asyncio.ensure_future(deduplicated(dead, documents, clock)(event()))
    await dead.began.wait()
    with pytest.raises(Unavailable):
        await deduplicated(alive, documents, clock)(event())
    clock.time += timedelta(seconds=121)
    assert await deduplicated(alive, documents, clock)(event()) is not None
    dead.go_on.set()
    with pytest.raises(Unavailable):  # it came back after all: the other's outcome counts
        await handling


async def test_a_handler_without_a_reply_is_repeated_without_one() -> None:
    runs = 0

    async def count(taken: CloudEvent) -> None:
        nonlocal runs
        runs += 1

    once = deduplicated(count, inbox(), SteppedClock())
    assert [await once(event()) for _ in range(3)] == [None] * 3
    assert runs == 1


async def test_records_are_deleted_when_no_broker_sends_their_events_any_more() -> None:
    """Not a day too early, all of them in the end, and a claim that nobody settled with them."""
    clock, documents, taken = SteppedClock(), inbox(), 0

    async def count(event: CloudEvent) -> None:
        nonlocal taken
        taken += 1

    async def day_of(number: int, *, process: EventHandler) -> None:
        clock.time = SteppedClock().time + timedelta(days=number)
        for sent in range(15):
            await process(event(f"{number}-{sent}"))

    first = deduplicated(count, documents, clock)
    for number in (0, 1):
        await day_of(number, process=first)
    await documents.put("abandoned", {"state": "claimed", "day": "2026-11-01"}, 0)
    await day_of(30, process=first)
    await first(event("0-0"))
    assert taken == 45, "a record was deleted while it was needed"
    await day_of(32, process=deduplicated(count, documents, clock))  # another process, after days at zero
    for day, left in (("2026-11-01", 0), ("2026-11-02", 0), ("2026-12-01", 15), ("2026-12-03", 15)):
        assert len(await documents.find("day", day, limit=99)) == left, day
    assert await documents.get("abandoned") is None


async def test_a_store_that_cant_delete_fails_no_event() -> None:
    class Away(MemoryDocuments):
        async def find(self, *arguments: Any, **named: Any) -> list[Document]:
            raise Unavailable("away")

    clock, documents, slow = SteppedClock(), Away(), Slow()
    documents.declare(deduplication.INDEXES)
    slow.go_on.set()
    once = deduplicated(slow, documents, clock)
    await once(event("1"))
    clock.time += timedelta(days=40)
    assert await once(event("2")) is not None
