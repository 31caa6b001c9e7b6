"""What streaming over HTTP costs the engine at 16 streams, beside the same engine driven directly.

The default model continues 16 texts, in a service of its own process and, turn by turn, in a process that
calls the engine's port without HTTP. The reader of the streams runs on the same cores and does next to
nothing with them. `--rounds N` measures each so often; medians.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks._engine import SCRIPTS, SERVICE_PYTHON, default_model, service_environment
from benchmarks._frame import Row, Table
from benchmarks._service_process import Connection, service

STREAMS, NEW_TOKENS = 16, 128
LARGEST_COST = 0.1
Generate = Callable[[Sequence[str]], Awaitable[tuple[int, float]]]
"""Continues texts at once; how many tokens came, and in how many seconds."""


async def main() -> Table:
    """Measure."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 5
    model = default_model()
    table = Table(f"{STREAMS} streams of {NEW_TOKENS} tokens over HTTP, beside the engine itself")
    async with AsyncExitStack() as stack:
        ways: dict[str, Generate] = {
            "engine": await stack.enter_async_context(_direct(model)),
            **await stack.enter_async_context(_over_http(model)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, generate in ways.items():
                tokens, seconds = await generate(_texts(number))
                if number:  # the first round warms up
                    rates[name].append(tokens / seconds)
    medians = {name: statistics.median(taken) for name, taken in rates.items()}
    table.rows.extend(Row(name, rate, "tokens/s") for name, rate in medians.items())
    table.rows.extend(
        Row(f"{name}: cost", (1 - rate / medians["engine"]) * 100, "%", LARGEST_COST * 100)
        for name, rate in medians.items()
        if name != "engine"
    )
    return table


def _texts(number: int) -> list[str]:
    """New in each round, so that no beginning is known."""
    return [
        f"Chapter {number * STREAMS + i}. The ship left the harbour in the morning, and nobody on board knew"
        for i in range(STREAMS)
    ]


@asynccontextmanager
async def _direct(model: Path) -> AsyncIterator[Generate]:
    process = await asyncio.create_subprocess_exec(
        *(str(SERVICE_PYTHON), str(SCRIPTS / "direct.py"), str(model), str(NEW_TOKENS)),
        env=service_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    write, read = process.stdin.write, process.stdout.readline

    async def generate(texts: Sequence[str]) -> tuple[int, float]:
        write(json.dumps(texts).encode() + b"\n")
        tokens, seconds = json.loads(await read())
        return tokens, seconds

    try:
        yield generate
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _over_http(model: Path) -> AsyncIterator[dict[str, Generate]]:
    async with service(model) as served, AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(served.connection()) for _ in range(STREAMS)]

        def way(answer: Callable[[Connection, str], Awaitable[int]]) -> Generate:
            async def generate(texts: Sequence[str]) -> tuple[int, float]:
                start_s = time.perf_counter()
                pairs = zip(connections, texts, strict=True)
                tokens = await asyncio.gather(*(answer(connection, text) for connection, text in pairs))
                return sum(tokens), time.perf_counter() - start_s

            return generate

        yield {"/v1/completions": way(_completion), "/generate_stream": way(_generate_stream)}


async def _completion(connection: Connection, text: str) -> int:
    body = {
        "prompt": text,
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    events = (await connection.answer("/v1/completions", body)).split(b"\n\n")
    usage = json.loads(events[-3].removeprefix(b"data: "))["usage"]  # then comes [DONE], then nothing
    return int(usage["completion_tokens"])


async def _generate_stream(connection: Connection, text: str) -> int:
    body = {"inputs": text, "parameters": {"max_new_tokens": NEW_TOKENS}}
    return (await connection.answer("/generate_stream", body)).count(b"data:")
