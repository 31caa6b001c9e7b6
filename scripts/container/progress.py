"""Progress that a person sees, on standard error, and the one way to fail."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_LAST_LINES = 15


class ImagesFailed(Exception):
    """What was asked can't be done; the message says why, and what to do (exit status 2)."""


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took when it has succeeded."""
    say(f"  … {text}")
    began_s = time.monotonic()
    yield
    say(f"  ✓ {text} ({time.monotonic() - began_s:.0f} s)")


def say(line: str) -> None:
    """One line for the person in front of it."""
    print(line, file=sys.stderr, flush=True)


def run(words: Sequence[str], *, name: str = "", env: Mapping[str, str] | None = None) -> str:
    """A program's standard output; `name` is what it is called in an error (default: its first two words).

    Raises:
        ImagesFailed: it failed, with its last lines.
    """
    done = subprocess.run(
        words,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        name = name or " ".join(words[:2])
        raise ImagesFailed(f"{name} failed (status {done.returncode}); it said last:\n{last}")
    return done.stdout
