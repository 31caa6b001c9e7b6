"""What a person sees while it goes on: a line a phase, with its time, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Phases, each with what happens in it. Standard output stays free."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Says what begins, and how it ended."""
        began_s = time.monotonic()
        self._line(f"  … {name}")
        try:
            yield
        except BaseException:
            self._line(f"  ✗ {name} ({time.monotonic() - began_s:.1f} s)")
            raise
        self._line(f"  ✓ {name} ({time.monotonic() - began_s:.1f} s)")

    def tell(self, what: str) -> None:
        """Something that happened in the phase."""
        self._line(f"      {what}")

    def elapsed_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began_s

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
