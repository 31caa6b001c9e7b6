"""Folders that appear whole or not at all: made in a scratch folder beside their place, then renamed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, for one process at a time; gone afterwards, whatever happens.

    What a killed process left there is removed by the next one: holding the lock means that nobody uses it.
    """
    scratch = target.parent / f".{target.name}.partial"
    with _alone(target):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def kept_beside(target: Path) -> Iterator[Path]:
    """The like for work that goes on where it was interrupted: what is in it stays for the next one."""
    scratch = target.parent / f".{target.name}.fetching"
    with _alone(target):
        scratch.mkdir(exist_ok=True)
        yield scratch


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
