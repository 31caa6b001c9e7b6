"""A function's cold start, and what serving a request costs, beside the bare framework and raw ASGI.

Start: from the command to the first 200 of `/healthz`, master and worker, on an otherwise idle machine; the
median of several starts. Cost: CPU time of the server's processes a request, the load on another core.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._frame import Row, Table
from benchmarks._instant_model import Caller

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
STARTS = 7
START_BAR_S = 0.5
BARE = "the bare framework"
SOURCES = {
    BARE: "benchmarks/_bare_hello.py",
    "hello": "benchmarks/_hello.py",
    **{name: f"functions/{name}/service.py" for name in ("gateway", "auth", "chat", "history", "summarize")},
}
"""The smallest function is `hello`."""
CONNECTIONS = 32
MEASURED_S = 4.0
START_TIMEOUT_S = 20.0
_PORT = "{port}"
_SECRETS = {
    "HADAL_BOOTSTRAP_TOKEN": "t" * 32,
    "HADAL_KEY_ENCRYPTION_KEY": "k" * 44,
    "CLIENT_SECRET": "s" * 32,
    "LOG_LEVEL": "warning",
}
BODY = b'{"name":"abyss","filler":"' + b"x" * 500 + b'"}'
REQUEST = (
    b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    % (
        len(BODY),
        BODY,
    )
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """User and system time of the process and its children so far."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(map(_cpu_s, [self.pid, *map(int, children)]))


async def main() -> Table:
    """Measure starts, then requests."""
    rows = await _starts()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        costs = {name: await _cost(command, min(cores)) for name, command in _servers().items()}
    finally:
        os.sched_setaffinity(0, cores)
    rows += [Row(f"a request, {name}", us, "us") for name, us in costs.items()]
    ours = costs["ours"]
    rows.append(Row("ours to the bare framework", ours / costs[BARE], "x"))
    rows.append(Row("ours to raw ASGI", ours / costs["raw ASGI on uvicorn"], "x"))
    return Table("A function under the stock command", rows)


async def _starts() -> list[Row]:
    """Each in turn, round after round, so that a busy moment of the machine meets all alike."""
    times_s: dict[str, list[float]] = {name: [] for name in SOURCES}
    for _ in range(STARTS):
        for name, source in SOURCES.items():
            times_s[name].append(await _start_s(source, "bare" if name == BARE else name))
    bare_s = statistics.median(times_s[BARE])
    rows = [Row("start to first 200, the bare framework", bare_s, "s")]
    for name in list(SOURCES)[1:]:
        median_s = statistics.median(times_s[name])
        note = f"fastest {min(times_s[name]):.2f}; {(median_s - bare_s) * 1e3:+.0f} ms to the bare framework"
        rows.append(Row(f"start to first 200, {name}", median_s, "s", START_BAR_S, note=note))
    return rows


async def _start_s(source: str, target: str) -> float:
    began = time.perf_counter()
    async with _running(_framework(source, target)) as server:
        await _first_200(server.port)
        return time.perf_counter() - began


async def _cost(command: Sequence[str], core: int) -> float:
    async with _running(["taskset", "-c", str(core), *command]) as server:
        await _first_200(server.port)
        await _load(server.port, for_s=0.5)
        before_s = server.cpu_s()
        answered = await _load(server.port, for_s=MEASURED_S)
        return (server.cpu_s() - before_s) / answered * 1e6


def _servers() -> dict[str, list[str]]:
    uvicorn = [str(BIN / "uvicorn"), "benchmarks._bare_hello:raw", "--no-access-log", "--log-level", "error"]
    return {
        "raw ASGI on uvicorn": [*uvicorn, "--port", _PORT],
        BARE: _framework("benchmarks/_bare_hello.py", "bare"),
        "ours": _framework("benchmarks/_hello.py", "hello"),
    }


def _framework(source: str, target: str) -> list[str]:
    return [str(BIN / "functions-framework"), "--asgi", "--source", source, "--target", target]


@asynccontextmanager
async def _running(command: Sequence[str]) -> AsyncIterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port)} | _SECRETS
    process = await asyncio.create_subprocess_exec(
        *(str(port) if word == _PORT else word for word in command),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Server(port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _first_200(port: int) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.005)
                continue
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            status_line = await reader.readline()
            writer.close()
            if status_line:
                return


async def _load(port: int, for_s: float) -> int:
    """Ask again and again on every connection for `for_s` seconds; how often in all."""
    loop = asyncio.get_running_loop()
    ends_at, asked = loop.time() + for_s, 0

    def more() -> bool:
        nonlocal asked
        asked += 1
        return loop.time() < ends_at

    opened = [
        await loop.create_connection(lambda: Caller(REQUEST, more), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(caller.done for _, caller in opened))
    return asked


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
