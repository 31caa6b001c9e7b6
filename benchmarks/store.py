"""What an append with its outbox and a read of a stream cost on each store, as ratios to SQLite.

The servers are real ones on this machine's loopback (`scripts/servers`): the figures hold the client, one
round trip and the server, and a network only adds its own round trips. `many at once` is 32 streams that are
written side by side, the time of one append; SQLite shares an fsync among those that wait, the others commit
one append of an event store after the other.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

from benchmarks._frame import Row, Table
from events import CloudEvent
from functions._runtime.ports import EventStore
from functions._runtime.store import open_store
from scripts.servers import running

ROUNDS = 150
SIDE_BY_SIDE = 32
CONTEXT_EVENTS = 40
APPENDS_OF_A_TURN = 2
BAR_TURN_MS = 50.0
"""Little beside a model's first token, which takes some hundreds."""
DATA = b'{"conversation_id":"c","items":[{"id":"m","role":"user","content":"' + b"deep " * 100 + b'"}]}'

_numbers = count()


@dataclass(frozen=True, slots=True)
class Costs:
    """Milliseconds: an append alone, one of many at once, its mark in the outbox, a read of a context."""

    append_ms: float
    many_ms: float
    published_ms: float
    read_ms: float


async def main() -> Table:
    """Measure each store in turn."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        urls = {"SQLite": f"sqlite:{folder}/store.db"}
        for name, server in (("PostgreSQL", "postgresql"), ("MongoDB's protocol", "mongodb")):
            urls[name] = servers.enter_context(running(server)).url
        costs = {name: await _costs(url) for name, url in urls.items()}
    rows = _ratios(costs)
    for name, cost in costs.items():
        turn_ms = APPENDS_OF_A_TURN * cost.append_ms + cost.read_ms
        rows.append(Row(f"what a stored turn waits for: {name}", turn_ms, "ms", BAR_TURN_MS))
    return Table("Stores, as ratios to SQLite (medians)", rows)


def _ratios(costs: dict[str, Costs]) -> list[Row]:
    least = costs["SQLite"]
    rows = []
    for field, what in (
        ("append_ms", "append and outbox"),
        ("many_ms", f"append and outbox, {SIDE_BY_SIDE} at once"),
        ("published_ms", "mark as published"),
        ("read_ms", f"read {CONTEXT_EVENTS} events"),
    ):
        for name, cost in costs.items():
            figure_ms, base_ms = getattr(cost, field), getattr(least, field)
            rows.append(Row(f"{what}: {name}", figure_ms / base_ms, "x", note=f"{figure_ms:.2f} ms"))
    return rows


async def _costs(url: str) -> Costs:
    async with open_store(url) as store:
        facts = store.event_store("facts")
        await facts.append("context", [_event() for _ in range(CONTEXT_EVENTS)], 0)
        versions = iter(range(ROUNDS))
        append_ms = await _median_ms(lambda: facts.append("alone", [_event()], next(versions)))
        many_ms = await _side_by_side_ms(facts)
        waiting = iter(await facts.unpublished(ROUNDS))
        published_ms = await _median_ms(lambda: facts.mark_published([next(waiting)]))
        read_ms = await _median_ms(lambda: facts.read("context"))
    return Costs(append_ms, many_ms, published_ms, read_ms)


async def _median_ms(call: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


async def _side_by_side_ms(facts: EventStore) -> float:
    each = ROUNDS // 10

    async def write(stream: str) -> None:
        for version in range(each):
            await facts.append(stream, [_event()], version)

    began = time.perf_counter()
    await asyncio.gather(*(write(f"s{number}") for number in range(SIDE_BY_SIDE)))
    return (time.perf_counter() - began) / (each * SIDE_BY_SIDE) * 1e3


def _event() -> CloudEvent:
    return CloudEvent(id=f"evt_{next(_numbers)}", source="/bench", type="bench.happened.v1", data=DATA)
