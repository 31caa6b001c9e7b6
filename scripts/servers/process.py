"""A server's process: started apart from this one, known again later, stopped.

A process is remembered by its id and the moment at which the kernel says it began: an id that belongs to
another program by now doesn't match, and is let alone.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.servers.server import Command

LOOK_AGAIN_S = 0.02
KILLED_AFTER_S = 15.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id, and its beginning in the kernel's clock ticks since boot."""

    pid: int
    began: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # where it is ours, it is gone for good only then
        return began(self.pid) == self.began

    def stop(self, number: signal.Signals) -> None:
        """End it, and return when it is gone."""
        killed_at_s = time.monotonic() + KILLED_AFTER_S
        self._send(number)
        while self.is_alive:
            if time.monotonic() > killed_at_s:
                self._send(signal.SIGKILL)
            time.sleep(LOOK_AGAIN_S)

    def _send(self, number: signal.Signals) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start(command: Command, log: Path) -> Process:
    """Start `command` in a session of its own, its output behind what `log` holds."""
    user = command.user
    with log.open("ab") as output:
        child = subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.environment},
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            start_new_session=True,
        )
    child.returncode = 0  # it outlives this object, and Python shouldn't warn of that
    return Process(child.pid, began(child.pid) or 0)


def began(pid: int) -> int | None:
    """When process `pid` began; None if there is none, or only what is left of one (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
