"""The folder that holds everything of one system: stores, secrets, logs, and who is running on it.

<data>/.hadal          marks the folder as ours
<data>/secrets/        one folder a Secret, one file a key (0600)
<data>/run/            lock, admin socket, the pids of children
<data>/logs/           one file a Service
<data>/models/         weights, converted once
<data>/*.db            the functions' stores and the Broker's log
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .console import StartError

MARK = ".hadal"
FOLDERS = ("run", "logs", "secrets", "models")
KEPT_BY_RESET = ("models", MARK, "run")


@dataclass(frozen=True)
class DataFolder:
    """One data folder, locked by this process as long as `lock` is open."""

    path: Path
    lock: int

    @property
    def admin_socket(self) -> Path:
        """Where the running system takes commands."""
        return self.path / "run" / "admin.sock"

    def secret(self, name: str, key: str) -> str:
        """The value of `key` in Secret `name`; a random one is made at its first use."""
        file = self.path / "secrets" / name / key
        if file.exists():
            return file.read_text()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(dir=file.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as value:
            value.write(secrets.token_urlsafe(32))
            value.flush()
            os.fsync(value.fileno())
        with contextlib.suppress(FileExistsError):  # another one was first: theirs holds
            os.link(new, file)
        Path(new).unlink()
        return file.read_text()

    def reset(self) -> None:
        """Remove everything but converted weights. The folder has been opened, so it is one of ours."""
        for entry in self.path.iterdir():
            if entry.name not in KEPT_BY_RESET:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _make_folders(self.path)


def _make_folders(path: Path) -> None:
    for name in FOLDERS:
        (path / name).mkdir(mode=0o700, exist_ok=True)


def open_data_folder(path: Path) -> DataFolder:
    """Make the folder if it is absent, and lock it.

    Raises:
        StartError: it can't be written, isn't one of ours, or another runner has it.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (path / MARK).exists() and any(path.iterdir()):
            raise StartError(
                f"--data {path}: this folder has other things in it;"
                " name a new or empty folder, or one of Hadal's."
            )
        (path / MARK).touch()
        _make_folders(path)
        lock = os.open(path / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"--data {path}: can't be written ({error.strerror}); name a folder that can."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode() or "another process"
        os.close(lock)
        raise StartError(
            f"--data {path}: Hadal is running on this folder already (process {holder});"
            " stop it, or name another folder."
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return DataFolder(path, lock)
