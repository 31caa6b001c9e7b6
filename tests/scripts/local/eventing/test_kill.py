"""kill -9 of the broker at any moment: at least once, in order, nothing answered with 202 is lost."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from scripts.local.http import Client, HttpError

from .harness import Received, eventually, receiving

KEYS = 20
SENDERS = 16
MODULE = f"{__package__}.broker_process"


class Killed:
    """A broker that is killed and started again, and what its senders know."""

    def __init__(self, folder: Path, subscriber_port: int) -> None:
        self._command = [sys.executable, "-m", MODULE, str(folder), str(subscriber_port)]
        self._process: asyncio.subprocess.Process | None = None
        self._port: int | None = None
        self._client = Client()
        self.accepted: set[str] = set()

    async def start(self) -> None:
        """A new process; returns when it listens."""
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        self._port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._port = None
        self._process.kill()
        await self._process.wait()

    async def send(self, sender: int, stop: asyncio.Event) -> None:
        """Send events, each again until it is taken; each sender has keys of its own."""
        number = 0
        while not stop.is_set():
            ident = f"{sender}-{number}"
            if await self._post(ident, f"key-{sender}-{number % KEYS}"):
                self.accepted.add(ident)
                number += 1
            else:
                await asyncio.sleep(0.01)

    async def _post(self, ident: str, key: str) -> bool:
        if self._port is None:
            return False
        headers = [
            (b"ce-specversion", b"1.0"),
            (b"ce-id", ident.encode()),
            (b"ce-source", b"/test"),
            (b"ce-type", b"t"),
            (b"ce-partitionkey", key.encode()),
        ]
        try:
            response = await self._client.request(
                b"POST", "127.0.0.1", self._port, b"/hadal/default", headers, b"x" * 500
            )
            await response.read(10_000)
        except HttpError:
            return False  # killed in the middle: it may be stored or not, so it is sent again
        return response.status == 202


def first_deliveries(received: list[Received]) -> dict[str, list[int]]:
    """The numbers of each key's events, in the order of their first delivery."""
    seen: set[str] = set()
    by_key: dict[str, list[int]] = defaultdict(list)
    for delivery in received:
        if delivery.id not in seen:
            seen.add(delivery.id)
            by_key[delivery.headers["ce-partitionkey"]].append(int(delivery.id.partition("-")[2]))
    return by_key


@pytest.mark.slow
async def test_nothing_that_was_answered_with_202_is_lost_or_overtakes_its_key(tmp_path: Path) -> None:
    """Promises 40, 43 and 46 in this form: killed at random moments under load, again and again."""
    moments = random.Random(20_261_123)
    async with receiving() as receiver:
        broker = Killed(tmp_path, receiver.port)
        await broker.start()
        stop = asyncio.Event()
        senders = [asyncio.create_task(broker.send(number, stop)) for number in range(SENDERS)]
        for _ in range(8):
            goal = len(broker.accepted) + moments.randrange(1, 400)
            await eventually(lambda goal=goal: len(broker.accepted) >= goal, f"{goal} events")  # type: ignore[misc]
            await broker.kill()
            await broker.start()
        stop.set()
        await asyncio.gather(*senders)
        await eventually(lambda: broker.accepted <= set(receiver.ids), "every accepted event to be delivered")
        await broker.kill()
        assert all(numbers == sorted(numbers) for numbers in first_deliveries(receiver.received).values())
        assert len(broker.accepted) > 500
