"""A function under the stock command, in processes of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMAND = Path(sys.executable).with_name("functions-framework")
START_S = 20.0


class Stock:
    """The running command: its port, its processes, and what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def terminate(self) -> None:
        """What a platform does to stop it: SIGTERM to the first process."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float = 20.0) -> int:
        """The command's exit status."""
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, target: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer, on a connection of its own."""
        reader, writer = await self.connect()
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers, body

    async def is_listening(self) -> bool:
        try:
            _, writer = await self.connect()
        except ConnectionRefusedError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def stock(
    source: Path, target: str, folder: Path, environ: Mapping[str, str] | None = None, *, wait: bool = True
) -> AsyncIterator[Stock]:
    """`functions-framework --asgi` over `source`, from its first answer to its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = folder / f"{target}-{port}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(COMMAND),
            "--asgi",
            stderr=output,
            stdout=output,
            cwd=ROOT,
            start_new_session=True,
            env={
                "PATH": os.environ["PATH"],
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "FUNCTION_SOURCE": str(source),
                "FUNCTION_TARGET": target,
                **(environ or {}),
            },
        )
    running = Stock(process, port, log)
    try:
        if wait:
            await _answering(running)
        yield running
    finally:
        _kill_group(process.pid)
        await process.wait()


async def _answering(running: Stock) -> None:
    async with asyncio.timeout(START_S):
        while not await running.is_listening():
            if running.process.returncode is not None:
                raise AssertionError(f"The function ended at its start:\n{running.log}")
            await asyncio.sleep(0.02)
        await running.get("/readyz")


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
