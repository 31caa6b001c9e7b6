"""Programs that run while something is asked of them, each with a log of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .build import NodeError

_LOOK_AGAIN_S = 0.1
_STOP_S = 10.0


@contextmanager
def running(
    words: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The program runs until the block ends; what it prints goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(
    what: str, holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, within_s: float
) -> None:
    """Return when the condition holds.

    Raises:
        NodeError: it doesn't within the time, or the process has ended.
    """
    ends_at_s = time.monotonic() + within_s
    while not holds():
        if process.poll() is not None or time.monotonic() > ends_at_s:
            why = f"not within {within_s:.0f} s" if process.poll() is None else "its process has ended"
            last = "\n".join(line[:300] for line in log.read_text(errors="replace").splitlines()[-5:])
            raise NodeError(f"{what}: {why}; it said last:\n{last}")
        time.sleep(_LOOK_AGAIN_S)
