"""Children of a runner that was killed: found by what only they carry, and ended before a new start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def end_orphans(data: Path) -> list[int]:
    """End every process that an earlier runner started for this data folder; return their ids.

    The caller holds the folder's lock, so no other runner lives: whatever still has the folder in its
    environment, as a child does, is left over. Nothing is remembered in a file, so nothing can be remembered
    wrongly: an id that belongs to another program by now doesn't match.
    """
    found = [pid for pid in _processes() if _is_child(pid, data)]
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return found


def _processes() -> Iterator[int]:
    me = os.getpid()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != me:
            yield int(entry.name)


def _is_child(pid: int, data: Path) -> bool:
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has gone, or belongs to another user
    marks = (f"HADAL_DATA={data}".encode(), b"HOST=127.0.0.1")
    return all(mark in variables for mark in marks) and any(v.startswith(b"K_REVISION=") for v in variables)
