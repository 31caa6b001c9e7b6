"""The model service as a process of its own, asked over keep-alive connections as cheaply as can be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._engine import SERVICE_PYTHON, service_environment

START_LIMIT_S = 180.0
END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is ready."""

    pid: int
    port: int

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection until the block ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    def resident_bytes(self) -> int:
        """Memory that the process has to itself or shares."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096


@dataclass(frozen=True, slots=True)
class Connection:
    """One request after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self, path: str, body: object) -> bytes:
        """Post JSON and return the whole answer's body; events as they came, chunks joined.

        Raises:
            SystemExit: the answer isn't a 200.
        """
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer_head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer_head.partition(b"\r\n")[0]:
            raise SystemExit(f"the model service answered {answer_head.decode()}")
        fields = answer_head.lower()
        if b"content-length:" in fields:
            length = int(fields.partition(b"content-length:")[2].split()[0])
            return await self.reader.readexactly(length)
        return await self._chunks()

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            part = await self.reader.readexactly(size + 2)
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])


@asynccontextmanager
async def service(model: Path, **variables: str) -> AsyncIterator[Service]:
    """Start it with settings beside its defaults; it is ready when the block begins.

    Raises:
        SystemExit: it didn't become ready.
    """
    settings = {"MODEL_ID": str(model), "HOSTNAME": "127.0.0.1", "PORT": "0", **variables}
    process = await asyncio.create_subprocess_exec(
        str(SERVICE_PYTHON),
        *("-m", "inference"),
        env={**service_environment(), **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            port = int((await _line(process.stderr, "listening"))["port"])
            await _line(process.stderr, "model loaded")
        drain = asyncio.create_task(process.stderr.read())
        yield Service(process.pid, port)
        drain.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(log: asyncio.StreamReader, message: str) -> dict[str, str]:
    read = b""
    async for line in log:
        read += line
        fields: dict[str, str] = json.loads(line)
        if fields["message"] == message:
            return fields
    raise SystemExit(f"the model service did not start:\n{read.decode(errors='replace')}")
