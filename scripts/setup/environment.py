"""A virtual environment made from its lock file: made once, and again only when the lock has changed.

Interrupted at any point it is simply begun again: uv keeps what it has downloaded, and the stamp that says
"complete" is written last. Two set-ups at once wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.setup import lockfile, torch
from scripts.setup.progress import SetupFailed, say, step

Run = Callable[[Sequence[str]], None]

STAMP = "hadal-set-up.json"
FOREIGN = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT", "PYTHONPATH", "PYTHONHOME")
"""What of the caller's environment would lead uv to another project's folder."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A project with a lock file, and the virtual environment in its folder `.venv`."""

    name: str
    project: Path

    @property
    def folder(self) -> Path:
        """Where the virtual environment is."""
        return self.project / ".venv"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.project / "uv.lock"

    def complete(self, build: torch.Choice | None = None) -> bool:
        """Whether it is as the lock file says, with this build of torch (None or auto: whichever it has)."""
        stamp = self._stamp()
        fits = build in (None, "auto", stamp.get("torch"))
        return fits and stamp.get("lock") == self._digest() and (self.folder / "bin" / "python").exists()

    def make(self, uv: str, build: torch.Build | None, run: Run) -> None:
        """Installs what the lock file says, compiled; torch as chosen (None: the project has none)."""
        sync = [uv, "sync", "--frozen", "--compile-bytecode", "--project", str(self.project)]
        names = [package["name"] for package in lockfile.packages(self.lock)]
        without = torch.cuda_packages(names) if build == "cpu" else []
        size_bytes = lockfile.download_bytes(self.lock, without)
        size_bytes += torch.CPU_BUILD_BYTES if build == "cpu" else 0
        size = f"{size_bytes / lockfile.MEGABYTE:,.0f} MB"
        digest = self._digest()
        with step(f"{self.name}: downloading (at most about {size}) and installing"):
            run([*sync, *(part for name in without for part in ("--no-install-package", name))])
            if build == "cpu":
                run([uv, *self._cpu_build()])
        (self.folder / STAMP).write_text(json.dumps({"lock": digest, "torch": build}))

    def _cpu_build(self) -> list[str]:
        version = lockfile.version_of(self.lock, "torch")
        return [
            *(
                "pip",
                "install",
                "--python",
                str(self.folder / "bin" / "python"),
                "--no-deps",
                "--compile-bytecode",
            ),
            *("--index-url", torch.cpu_index(), f"torch=={version}+cpu"),
        ]

    def _stamp(self) -> dict[str, str]:
        try:
            stamp: dict[str, str] = json.loads((self.folder / STAMP).read_text())
        except (OSError, ValueError):
            return {}
        return stamp

    def _digest(self) -> str:
        parts = (
            self.lock.read_bytes(),
            (self.project / "pyproject.toml").read_bytes(),
            sys.platform.encode(),
        )
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


@contextmanager
def alone(tools: Path) -> Iterator[None]:
    """Holds the set-up's lock, so that two commands started at once don't install into one folder.

    Raises:
        SetupFailed: the folder can't be written.
    """
    try:
        tools.mkdir(parents=True, exist_ok=True)
        lock = (tools / "set-up.lock").open("w")
    except OSError as error:
        raise SetupFailed(
            f"{tools} can't be written ({error.strerror}); use a checkout that is yours"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running in this checkout; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_uv(command: Sequence[str]) -> None:
    """Runs uv with its own progress shown.

    Raises:
        SetupFailed: it didn't succeed.
    """
    environ = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    done = subprocess.run(command, stdout=sys.stderr, env=environ, check=False)
    if done.returncode:
        raise SetupFailed(
            f"uv ended with status {done.returncode} (its message stands above); run the same command again, "
            "what was downloaded is kept"
        )
