"""The service as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

START_S = 120.0  # loading torch from a cold disk, with others on the machine


@dataclass
class ServiceProcess:
    """A started `python -m inference` and the log lines that it has written so far."""

    process: asyncio.subprocess.Process
    log: list[dict[str, Any]]
    url: str = ""

    async def line(self, message: str) -> dict[str, Any]:
        """Read the log up to the line with this message."""
        assert self.process.stderr is not None
        async with asyncio.timeout(START_S):
            async for raw in self.process.stderr:
                self.log.append(orjson.loads(raw))
                if self.log[-1]["message"] == message:
                    return self.log[-1]
        raise AssertionError(f"no {message!r} in the log: {self.log}")


@asynccontextmanager
async def started(model: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[ServiceProcess]:
    """Start the service on a free port; it listens when the block begins, and is gone when it ends."""
    variables = {
        "PORT": "0",
        "HOSTNAME": "127.0.0.1",
        "NUM_THREADS": "1",
        "MODEL_ID": str(model),
        **(environment or {}),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference"), env=os.environ | variables, stderr=asyncio.subprocess.PIPE
    )
    service = ServiceProcess(process, [])
    try:
        listening = await service.line("listening")
        service.url = f"http://{listening['host']}:{listening['port']}"
        yield service
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def is_healthy(url: str) -> bool:
    """Whether `/health` says 200 now."""
    async with aiohttp.ClientSession() as http, http.get(url + "/health") as response:
        return response.status == 200


async def until_healthy(url: str) -> None:
    """Wait until requests are taken."""
    while not await is_healthy(url):
        await asyncio.sleep(0.01)
