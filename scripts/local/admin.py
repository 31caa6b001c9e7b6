"""The running system's own door: a Unix socket that takes one command a connection.

A command is one line of JSON, `{"command": "<name>", …arguments}`; the answer is a line of JSON a row, then
the end; an error is the one row `{"error": "<text>"}`. The socket's file mode (0600) is what admits a caller.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Command = Callable[[Row], AsyncIterator[Row]]


class CommandError(Exception):
    """A command can't be carried out; the message is for the person who gave it."""


async def serve(path: Path, commands: Mapping[str, Command]) -> asyncio.Server:
    """Take commands on `path` until the server is closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for row in _rows(await reader.readline(), commands):
                writer.write(json.dumps(row).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # the person has seen enough
        finally:
            writer.close()

    return await asyncio.start_unix_server(answer, sock=_bind(path))


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    path.chmod(0o600)
    return door


async def _rows(line: bytes, commands: Mapping[str, Command]) -> AsyncIterator[Row]:
    try:
        words = json.loads(line)
        command = commands[words.pop("command")]
    except (ValueError, KeyError, AttributeError, TypeError):
        yield {"error": f"unknown command; there are {', '.join(sorted(commands))}"}
        return
    try:
        async for row in command(words):
            yield row
    except CommandError as error:
        yield {"error": str(error)}


def ask(path: Path, command: str, **arguments: Any) -> Iterator[Row]:
    """Give a command to the system that runs on `path` and yield the rows of its answer.

    Raises:
        CommandError: nothing runs there, or it says that it can't.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            raise CommandError(
                f"Hadal isn't running on {path.parent.parent};"
                " start it with scripts/run, or name its folder with --data."
            ) from None
        connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        with connection.makefile() as answer:
            for line in answer:
                row: Row = json.loads(line)
                if "error" in row:
                    raise CommandError(row["error"])
                yield row
