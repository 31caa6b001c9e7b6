"""A Service's log: what its processes write, in one file that doesn't grow for ever."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 10_000_000
KEPT = 2


class LogFile:
    """`<name>.log`; when it is full it becomes `<name>.log.1`, and that one `.2`, which is the last."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file = -1
        self._open()

    def write(self, data: bytes) -> None:
        """Append, whole; a disk that is full loses the line and nothing else."""
        if self._file < 0:
            return
        with suppress(OSError):
            if self._size + len(data) > self._max_bytes:
                self._turn_over()
            self._size += os.write(self._file, data)

    def close(self) -> None:
        """Write no more; twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def _turn_over(self) -> None:
        for number in range(KEPT, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number}"))
        os.close(self._file)
        self._open()
