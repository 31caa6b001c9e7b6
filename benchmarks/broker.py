"""Events stored (fsync before 202), filtered and delivered a second on one core; the memory it takes."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._broker_process import BrokerProcess
from benchmarks._frame import Row, Table
from scripts.local.http import Client, Request, Server, serve

CONNECTIONS = 96
WARM_UP = 2_000
EVENTS = 10_000
ROUNDS = 3
EVENTS_FOR_MEMORY = 100_000
DATA = json.dumps({"conversation_id": "c" * 26, "text": "x" * 900}).encode()
TYPES = 10


@dataclass(slots=True)
class Counter:
    """A subscriber that takes everything and counts."""

    count: int = 0

    def handle(self, request: Request) -> None:
        """Acknowledge."""
        self.count += 1
        request.reply(204)


async def send(client: Client, port: int, count: int, types: int) -> None:
    """Post `count` events over kept connections, each after the last one's 202."""
    numbers = iter(range(count))

    async def connection() -> None:
        for number in numbers:
            headers = [
                (b"ce-specversion", b"1.0"),
                (b"ce-id", b"event-%d" % number),
                (b"ce-source", b"/benchmark"),
                (b"ce-type", b"dev.hadal.benchmark.kind%d.v1" % (number % types)),
                (b"ce-time", b"2026-01-01T00:00:00Z"),
                (b"ce-partitionkey", b"key-%d" % (number % 1_000)),
                (b"content-type", b"application/json"),
            ]
            response = await client.request(b"POST", "127.0.0.1", port, b"/hadal/default", headers, DATA)
            await response.read(4_096)
            if response.status != 202:
                raise RuntimeError(f"the ingress answered {response.status}")

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


async def delivered(counter: Counter, wanted: int) -> None:
    """Wait until the subscriber has seen everything."""
    while counter.count < wanted:  # noqa: ASYNC110  nothing is told while it is measured
        await asyncio.sleep(0.005)


async def rate(triggers: int, matching: int, events: int) -> tuple[float, float, float]:
    """Deliveries a second, the broker's CPU microseconds a delivery, and its memory (MB) at the end.

    With several Triggers, each wants `matching` of the ten types, so that each event matches `matching`.
    """
    counter = Counter()
    server: Server = await serve(counter.handle, "127.0.0.1", 0)
    client = Client()
    specification = [
        [f"dev.hadal.benchmark.kind{(trigger + step) % TYPES}.v1" for step in range(matching)]
        for trigger in range(triggers)
    ]
    types = TYPES if triggers > 1 else 1
    with tempfile.TemporaryDirectory() as folder:
        broker = await BrokerProcess.start(Path(folder), server.port, specification, core=0)
        try:
            await send(client, broker.port, WARM_UP, types)
            await delivered(counter, WARM_UP * matching)
            counter.count, begin, cpu_s = 0, time.perf_counter(), broker.cpu_s()
            await send(client, broker.port, events, types)
            await delivered(counter, events * matching)
            wall_s = time.perf_counter() - begin
            count = events * matching
            return count / wall_s, (broker.cpu_s() - cpu_s) / count * 1e6, broker.memory_mb()
        finally:
            await broker.stop()
            await client.close()
            await server.close()


async def best(triggers: int, matching: int, events: int) -> tuple[float, float]:
    """The best of a few rounds: whoever else uses the machine can only make a round worse."""
    rounds = [await rate(triggers, matching, events) for _ in range(ROUNDS)]
    return max(figure for figure, _, _ in rounds), min(cost_us for _, cost_us, _ in rounds)


async def main() -> Table:
    """One Trigger, ten Triggers, and one Trigger for long."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        one, one_us = await best(1, 1, EVENTS)
        ten, ten_us = await best(10, 3, EVENTS // 2)
        _, _, small_mb = await rate(1, 1, EVENTS_FOR_MEMORY // 10 - WARM_UP)
        _, _, large_mb = await rate(1, 1, EVENTS_FOR_MEMORY - WARM_UP)
    finally:
        os.sched_setaffinity(0, cores)
    return Table(
        "Broker: 1 KB events stored, filtered and delivered; it has one core, load and subscriber the other",
        [
            Row("one Trigger", one, "events/s", 5_000, at_most=False, note=f"{one_us:.0f} us of CPU each"),
            Row(
                "ten Triggers, three match",
                ten,
                "deliveries/s",
                3_000,
                at_most=False,
                note=f"{ten_us:.0f} us",
            ),
            Row("memory after 10,000 events", small_mb, "MB"),
            Row("memory after 100,000 events", large_mb, "MB", small_mb * 1.2, note="flat: within 1.2x"),
        ],
    )
