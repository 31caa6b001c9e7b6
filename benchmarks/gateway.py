"""What a request and a streamed chunk cost at the gateway, beside a bare functions-framework relay.

Each relay runs alone on one core under the stock command, in front of an instant model; model and load are on
another. CPU time is the relay's own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._frame import Row, Table
from benchmarks._instant_model import Caller, InstantModel, request

ROOT = Path(__file__).parents[1]
CONNECTIONS, STREAMS = 32, 100
CHUNKS, PACE_S = 200, 0.02
MEASURED_S = 4.0
START_TIMEOUT_S = 20.0
REQUEST_BAR, CHUNK_BAR = 2.0, 1.5
"""Of the bare relay, which knows no caller, reads no body, measures and logs nothing."""

RELAYS = {
    "bare relay": ("benchmarks/_bare_relay.py", "bare"),
    "gateway": ("functions/gateway/service.py", "gateway"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one relay took."""

    requests_per_s: float
    request_us: float
    chunk_us: float


async def main() -> Table:
    """Measure both relays."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        costs = {name: await _cost(source, target, min(cores)) for name, (source, target) in RELAYS.items()}
    finally:
        os.sched_setaffinity(0, cores)
    rows: list[Row] = []
    for name, cost in costs.items():
        rows += [
            Row(f"{name}: requests at {CONNECTIONS} connections", cost.requests_per_s, "1/s"),
            Row(f"{name}: a request", cost.request_us, "us"),
            Row(f"{name}: a streamed chunk, {STREAMS} streams", cost.chunk_us, "us"),
        ]
    ours, bare = costs["gateway"], costs["bare relay"]
    rows += [
        Row("a request, gateway to bare relay", ours.request_us / bare.request_us, "x", REQUEST_BAR),
        Row("a chunk, gateway to bare relay", ours.chunk_us / bare.chunk_us, "x", CHUNK_BAR),
    ]
    return Table("A relay under functions-framework: one core, CPU microseconds", rows)


async def _cost(source: str, target: str, core: int) -> Cost:
    model = await asyncio.get_running_loop().create_server(
        lambda: InstantModel(CHUNKS, PACE_S), "127.0.0.1", 0
    )
    url = f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}"
    async with _relay(source, target, url, core) as relay:
        await _load(relay.port, CONNECTIONS, stream=False, for_s=1.0)  # what is loaded late is loaded then
        began, before_s = time.perf_counter(), relay.cpu_s()
        answered = await _load(relay.port, CONNECTIONS, stream=False, for_s=MEASURED_S)
        wall_s, after_s = time.perf_counter() - began, relay.cpu_s()
        streams = await _load(relay.port, STREAMS, stream=True, for_s=0.0)
        streamed_s = relay.cpu_s()
    model.close()
    request_us = (after_s - before_s) / answered * 1e6
    return Cost(answered / wall_s, request_us, (streamed_s - after_s) / (streams * CHUNKS) * 1e6)


async def _load(port: int, connections: int, *, stream: bool, for_s: float) -> int:
    """Ask again and again for `for_s` seconds, on each connection at least once; how often in all."""
    loop = asyncio.get_running_loop()
    ends_at, asked = loop.time() + for_s, 0

    def more() -> bool:
        nonlocal asked
        if asked >= connections and loop.time() >= ends_at:
            return False
        asked += 1
        return True

    sent = request("/v1/chat/completions", stream)
    opened = [
        await loop.create_connection(lambda: Caller(sent, more), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for _, caller in opened))
    return asked


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay's processes."""

    port: int
    master: int

    def cpu_s(self) -> float:
        """User and system time of master and worker so far."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return sum(map(_cpu_s, [self.master, *map(int, children)]))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _relay(source: str, target: str, url: str, core: int) -> AsyncIterator[Relay]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **os.environ,
        "FUNCTION_SOURCE": source,
        "FUNCTION_TARGET": target,
        "PORT": str(port),
        "INFERENCE_URL": url,
        "AUTH_URL": url,
    }
    command = Path(sys.executable).with_name("functions-framework")
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(core), str(command), "--asgi"),
        cwd=ROOT,
        env=environ,
        stdout=quiet,
        stderr=quiet,
    )
    try:
        await _until_open(port)
        yield Relay(port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _until_open(port: int) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
