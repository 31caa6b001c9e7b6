"""A function as it is started everywhere: by the stock `functions-framework` command, on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("functions-framework")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05


@dataclass
class Running:
    """A function's process; `log` is what it has written so far."""

    url: str
    process: asyncio.subprocess.Process
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@asynccontextmanager
async def running(name: str, environ: Mapping[str, str], folder: Path) -> AsyncIterator[Running]:
    """The function `name` with the settings `environ`, ready; stopped by SIGTERM at the end."""
    port = _free_port()
    log_file = folder / f"{name}-{port}.log"
    own = {"FUNCTION_SOURCE": f"functions/{name}/service.py", "FUNCTION_TARGET": name, "PORT": str(port)}
    inherited = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), "--asgi", cwd=ROOT, env={**inherited, **own, **environ}, stdout=log, stderr=log
        )
    function = Running(f"http://127.0.0.1:{port}", process, log_file)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await _until_ready(function)
        yield function
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise


async def _until_ready(function: Running) -> None:
    async with aiohttp.ClientSession() as client:
        while True:
            assert function.process.returncode is None, function.log
            try:
                async with client.get(f"{function.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_POLL_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
