"""A function under the stock command: gunicorn's master, uvicorn's worker, nothing faked."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson
import pytest

from tests.functions._runtime.stock import Stock, stock

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).with_name("stock_service.py")


def served(
    folder: Path, environ: Mapping[str, str] | None = None, *, wait: bool = True
) -> AbstractAsyncContextManager[Stock]:
    return stock(SERVICE, "demo", folder, {"DEMO_KEY": "canary", **(environ or {})}, wait=wait)


def events_of(log: str) -> list[str]:
    return [str(orjson.loads(line)["event"]) for line in log.splitlines()]


async def open_stream(running: Stock) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await running.connect()
    writer.write(b"GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"data: 0\n\n")
    return reader, writer  # the connection lasts as long as both are held


async def test_the_fast_loop_serves_and_every_path_answers_in_our_form(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        assert orjson.loads((await running.get("/whoami"))[2])["loop"] == "uvloop"
        assert (await running.get("/healthz"))[2] == b'{"status":"alive"}'
        assert b"hadal_requests_total" in (await running.get("/metrics"))[2]
        for target in ("/", "/robots.txt", "/favicon.ico", "/nowhere"):
            status, headers, _ = await running.get(target)
            assert (status, headers["content-type"]) == (404, "application/problem+json")
        for method in ("DELETE", "TRACE", "PROPFIND", "OPTIONS"):
            status, headers, _ = await running.get("/whoami", method)
            assert (status, headers["content-type"]) == (405, "application/problem+json")
        assert "server" not in headers
        assert "canary" not in running.log


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DEMO_KEY": ""}, "DEMO_KEY is not set"),
        ({"DEMO_TICKS": "none", "LOG_LEVEL": "loud"}, "DEMO_TICKS is 'none': should be a whole number"),
        ({"DEMO_TICKS": "none", "LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud': should be one of debug, info,"),
        ({"GRACEFUL_TIMEOUT_S": "0"}, "GRACEFUL_TIMEOUT_S is '0': should be at least 1"),
    ],
)
async def test_wrong_settings_end_the_process_at_its_start(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    async with served(tmp_path, environ, wait=False) as running:
        assert await running.ended() == 2
        assert said in running.log
        assert "Traceback" not in running.log


async def test_sigterm_lets_a_hundred_streams_end_and_takes_nothing_new(tmp_path: Path) -> None:
    """Promise 57."""
    async with served(tmp_path) as running:
        streams = await asyncio.gather(*(open_stream(running) for _ in range(100)))
        running.terminate()
        while await running.is_listening():  # noqa: ASYNC110  another process tells by closing its socket
            await asyncio.sleep(0.01)
        ends = await asyncio.gather(*(reader.read() for reader, _ in streams))
        assert all(end.endswith(b"data: 49\n\n\r\n0\r\n\r\n") for end in ends)
        assert await running.ended() == 0
        assert events_of(running.log)[-2:] == ["background_ended", "stack_closed"]


async def test_a_stream_longer_than_the_grace_is_cut_without_a_proper_end(tmp_path: Path) -> None:
    """Promise 57: a clean error, never a false end."""
    async with served(tmp_path, {"DEMO_TICKS": "10000", "GRACEFUL_TIMEOUT_S": "4"}) as running:
        reader, _writer = await open_stream(running)
        running.terminate()
        rest = await reader.read()
        assert not rest.endswith(b"0\r\n\r\n")
        assert await running.ended() == 0
        order = [
            "answer_cut_off_at_the_end_of_the_grace_period",
            "request",
            "background_ended",
            "stack_closed",
        ]
        assert [event for event in events_of(running.log) if event in order] == order


async def test_a_worker_doesnt_outlive_its_master(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        worker = orjson.loads((await running.get("/whoami"))[2])
        assert worker["parent"] == running.process.pid
        os.kill(running.process.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            while await running.is_listening():  # noqa: ASYNC110  another process tells by closing its socket
                await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            while "stack_closed" not in running.log:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.02)


async def test_an_idle_connection_is_kept_longer_than_the_servers_own_two_seconds(tmp_path: Path) -> None:
    """A pooled client's connection that the server closes at once fails its next request."""
    async with served(tmp_path) as running:
        reader, writer = await running.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"alive"}')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 3)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"alive"}')
        writer.close()


async def test_five_hundred_stalled_headers_are_let_go_while_others_are_served(tmp_path: Path) -> None:
    """Promise 28, with the product's own times."""
    async with served(tmp_path) as running:
        stalled = await asyncio.gather(*(running.connect() for _ in range(500)))
        for _, writer in stalled:
            writer.write(b"GET /whoami HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        letting_go = asyncio.gather(*(reader.read() for reader, _ in stalled))
        while not letting_go.done():
            assert (await running.get("/whoami"))[0] == 200
            await asyncio.wait((letting_go,), timeout=0.1)
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in await letting_go)
