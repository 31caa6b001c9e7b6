"""How long a poison event in an ordered Trigger holds back events of other keys."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks._broker_process import BrokerProcess
from benchmarks._frame import Row, Table
from scripts.local.http import Client, Request, serve

TRIES = 4
ROUNDS = 3
EVENTS = 2_000
EVERY_S = 0.003
"""One event at a time at an even pace: what is measured is waiting, not throughput."""
KEYS = 20
POISON_EVERY = 200


@dataclass(slots=True)
class Subscriber:
    """Refuses what is poison, and notes when it saw everything else."""

    seen_s: dict[int, float] = field(default_factory=dict)
    poison: set[int] = field(default_factory=set)
    refused: int = 0

    def has_all(self, good: int) -> bool:
        """Whether everything has come, the poison as often as it is tried."""
        return len(self.seen_s) >= good and self.refused >= TRIES * len(self.poison)

    def handle(self, request: Request) -> None:
        """Answer one delivery."""
        number = int(request.header(b"ce-id") or b"0")
        if number in self.poison:
            self.refused += 1
            request.reply(500)
            return
        self.seen_s.setdefault(number, time.perf_counter())
        request.reply(204)


async def delays_ms(poison: set[int]) -> tuple[list[float], int]:
    """From sending to delivery, of every event but the poison, sorted; and how often poison was tried."""
    subscriber = Subscriber(poison=poison)
    server = await serve(subscriber.handle, "127.0.0.1", 0)
    client = Client()
    sent_s: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        broker = await BrokerProcess.start(Path(folder), server.port, [[]], core=None, ordered=True)
        try:
            begin = time.perf_counter()
            for number in range(EVENTS):
                await asyncio.sleep(max(0.0, begin + number * EVERY_S - time.perf_counter()))
                sent_s[number] = time.perf_counter()
                await _send(
                    client,
                    broker.port,
                    number,
                    b"poisoned" if number in poison else b"key-%d" % (number % KEYS),
                )
            wanted = set(range(EVENTS)) - poison
            async with asyncio.timeout(60):
                while not subscriber.has_all(len(wanted)):  # noqa: ASYNC110  it tells nothing while measured
                    await asyncio.sleep(0.01)
        finally:
            await broker.stop()
            await client.close()
            await server.close()
    return sorted((subscriber.seen_s[number] - sent_s[number]) * 1e3 for number in wanted), subscriber.refused


async def _send(client: Client, port: int, number: int, key: bytes) -> None:
    headers = [
        (b"ce-specversion", b"1.0"),
        (b"ce-id", b"%d" % number),
        (b"ce-source", b"/benchmark"),
        (b"ce-type", b"dev.hadal.benchmark.v1"),
        (b"ce-partitionkey", key),
    ]
    response = await client.request(b"POST", "127.0.0.1", port, b"/hadal/default", headers, b"x" * 1_000)
    await response.read(4_096)


async def main() -> Table:
    """The same traffic without and with poison, in turns, because the machine has moods."""
    medians, clean_worst, poisoned_worst, refusals = [], [], [], 0
    for _ in range(ROUNDS):
        clean, _ = await delays_ms(set())
        poisoned, refused = await delays_ms(set(range(POISON_EVERY, EVENTS, POISON_EVERY)))
        medians.append(median(poisoned) - median(clean))
        clean_worst.append(clean[-1])
        poisoned_worst.append(poisoned[-1])
        refusals += refused
    extra = median(poisoned_worst) - median(clean_worst)
    return Table(
        f"Broker: an ordered Trigger with a poison event in {POISON_EVERY}, each tried {TRIES} times",
        [
            Row("worst delay without poison", median(clean_worst), "ms", note=f"median of {ROUNDS} rounds"),
            Row("worst delay of another key", median(poisoned_worst), "ms", note=f"{refusals} refusals"),
            Row("extra at the median", median(medians), "ms"),
            Row("extra at worst", extra, "ms", 50),
        ],
    )
