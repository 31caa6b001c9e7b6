"""One child process with everything that it starts in turn: a process group of its own."""

# ruff: noqa: D102  the callbacks are asyncio's
from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import cast

from .errors import StartFailed
from .logfile import LogFile

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Runs in the child before it becomes its program: a runner that is killed takes its children along."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child(asyncio.SubprocessProtocol):
    """A process whose output goes to a log."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._transport: asyncio.SubprocessTransport
        self.pid = 0
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Its exit status; negative: the signal that ended it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._log.write(data)

    def process_exited(self) -> None:
        # A worker may outlive its master; nothing of the group is left behind.
        self._signal(signal.SIGKILL)
        if not self.exited.done():
            self.exited.set_result(self._transport.get_returncode() or 0)
        self._transport.close()

    async def stop(self, grace_s: float) -> None:
        """Ask the group to finish what it serves; end it after `grace_s`."""
        if self.exited.done():
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), grace_s)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await asyncio.shield(self.exited)

    def kill(self) -> None:
        """End the group at once."""
        if not self.exited.done():
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # it has gone already
            os.killpg(self.pid, number)


async def spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: LogFile) -> Child:
    """Start a program, found on the environment's own PATH. `StartFailed` where there is none."""
    program = which(command[0], path=environment["PATH"])
    if program is None:
        raise StartFailed(f"{command[0]} is not installed in {environment['PATH'].partition(':')[0]}")
    loop = asyncio.get_running_loop()
    try:
        _, child = await loop.subprocess_exec(
            lambda: Child(log),
            program,
            *command[1:],
            env=dict(environment),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise StartFailed(f"{command[0]} can't be started: {error.strerror}") from None
    return child
