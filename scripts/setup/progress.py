"""Progress that a person sees: one line a step on standard error, with its time.

Standard output stays free for what the command itself prints.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SetupFailed(Exception):
    """The set-up can't go on; the message says why and what to do."""


def say(text: str) -> None:
    """One line for the person in front of it."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what begins, and how long it took when it has succeeded."""
    say(f"{text} …")
    start_s = time.monotonic()
    yield
    say(f"{text}: done in {time.monotonic() - start_s:.1f} s")
