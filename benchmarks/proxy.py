"""What the runner's HTTP costs: a server, a client, and a hop through the activator, beside a direct call.

CPU time is what is measured, of each process by itself, so that the figures are of one core whatever else
runs; the latency added is the difference of two medians over one connection.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._frame import Row, Table
from benchmarks._proxy_process import PIECES, ROOT
from scripts.local.http import Client

REQUESTS = 40_000
CONNECTIONS = 32
ONE_BY_ONE = 3_000
STREAMS = 20
BAR_A_SECOND = 15_000.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
HEADERS = [
    (b"content-type", b"application/json"),
    (b"ce-specversion", b"1.0"),
    (b"ce-id", b"1"),
    (b"ce-source", b"/benchmark"),
    (b"ce-type", b"dev.hadal.benchmark.v1"),
]
BODY = b"x" * 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server answers, where the door leads to it, and who they are."""

    door_port: int
    door_pid: int
    server_port: int
    server_pid: int


async def main() -> Table:
    """Measure."""
    table = Table("The runner's HTTP")
    client = Client()
    async with _started() as place:
        await _load(client, place.door_port, 2_000)
        began, own = _cpu_s(place.server_pid), time.process_time()
        await _load(client, place.server_port, REQUESTS)
        server_s, client_s = _cpu_s(place.server_pid) - began, time.process_time() - own
        began = _cpu_s(place.door_pid)
        await _load(client, place.door_port, REQUESTS)
        door_s = _cpu_s(place.door_pid) - began
        for name, cpu_s in (("server", server_s), ("client", client_s)):
            table.rows.append(
                Row(
                    f"{name}: requests a second of a core",
                    REQUESTS / cpu_s,
                    "/s",
                    BAR_A_SECOND,
                    at_most=False,
                )
            )
        table.rows.append(Row("activator: requests a second of a core", REQUESTS / door_s, "/s"))
        direct_us = await _median_us(client, place.server_port)
        through_us = await _median_us(client, place.door_port)
        table.rows.append(Row("a direct call, median", direct_us, "us"))
        table.rows.append(Row("added by the hop, median", through_us - direct_us, "us"))
        began = _cpu_s(place.door_pid)
        await _streams(client, place.door_port)
        piece_us = (_cpu_s(place.door_pid) - began) / (STREAMS * PIECES) * 1e6
        table.rows.append(Row("activator: CPU a streamed piece", piece_us, "us"))
        table.rows.append(Row("activator: memory", _resident_mb(place.door_pid), "MB"))
    await client.close()
    return table


@asynccontextmanager
async def _started() -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "benchmarks._proxy_process", "door", folder),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        door_port, server_port = map(int, (await process.stdout.readline()).split())
        (server_pid,) = _children(process.pid)
        try:
            yield Place(door_port, process.pid, server_port, server_pid)
        finally:
            process.kill()
            await process.wait()


async def _load(client: Client, port: int, count: int) -> None:
    async def one_connection() -> None:
        for _ in range(count // CONNECTIONS):
            await _post(client, port)

    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))


async def _post(client: Client, port: int) -> None:
    response = await client.request(b"POST", "127.0.0.1", port, b"/", HEADERS, BODY, timeout_s=10)
    if response.body_now() is None:
        await response.read(1_000)


async def _median_us(client: Client, port: int) -> float:
    times = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        await _post(client, port)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


async def _streams(client: Client, port: int) -> None:
    async def one() -> None:
        response = await client.request(b"GET", "127.0.0.1", port, b"/stream")
        async for _piece in response.stream():
            pass

    await asyncio.gather(*(one() for _ in range(STREAMS)))


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")
