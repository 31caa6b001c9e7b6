"""An image's root, and a program in it as a cluster runs it: read-only, nobody's, and with no shell there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

NOBODY = "65532"
LONGEST_STOP_S = 20.0

# Runs in a mount and process namespace of its own; what it mounts is gone with it. The shells go last.
CONTAINER = """
root=$1 work=$2; shift 2
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount -t tmpfs tmpfs "$root/tmp" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
for shell in "$root"/bin/sh "$root"/bin/dash "$root"/bin/bash; do
  [ ! -e "$shell" ] || mount --bind /dev/null "$(readlink -f "$shell")"
done
exec unshare --root "$root" --wd "$work" --setgid USER --setuid USER -- "$@"
""".replace("USER", NOBODY)


@contextmanager
def running(
    root: Path, work: str, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """The command in the image's root; ended at the end, together with all that it started."""
    words = ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", CONTAINER, "container", str(root), work]
    process = subprocess.Popen(
        [*words, *command],
        env={**environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End its first process gently, else at once; with that one every other in its namespace is gone."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for child in _children(process.pid):
            os.kill(child, kind)
        try:
            process.communicate(timeout=LONGEST_STOP_S)
            return
        except subprocess.TimeoutExpired:
            continue
    process.kill()


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def mounts_below(folder: Path) -> list[str]:
    """What is mounted in a folder."""
    targets = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [target for target in targets if Path(target).is_relative_to(folder)]


def ready(url: str, process: subprocess.Popen[str], within_s: float = 60.0) -> bool:
    """Whether a URL comes to answer 200 while the process lives."""
    end_s = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(url, timeout=within_s) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, or a status that says "not yet"
            time.sleep(0.05)
    return False
