"""Programs by Debian's packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from scripts.servers.server import ServerFailed
from scripts.setup.progress import step

MINUTES_10_S = 600


def need(find: Callable[[], str | None], what: str, packages: tuple[str, ...]) -> str:
    """What `find` returns, after `packages` have been installed if it finds nothing at first.

    Raises:
        ServerFailed: it isn't there and can't be installed; the message names the packages.
    """
    found = find()
    if found is None:
        _install(what, packages)
        found = find()
    if found is None:
        raise ServerFailed(f"{what} isn't there although {' '.join(packages)} is installed; put it on PATH.")
    return found


def program(name: str) -> Callable[[], str | None]:
    """A finder of `name` on PATH."""
    return lambda: shutil.which(name)


def _install(what: str, packages: tuple[str, ...]) -> None:
    line = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise ServerFailed(f"{what} isn't installed. Install it and put it on PATH (on Debian: {line}).")
    if os.geteuid() != 0:
        raise ServerFailed(f"{what} isn't installed, and only root can do it: sudo {line}")
    # Under this run level packages don't start services of their own (invoke-rc.d).
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with step(f"{what}: {line}"):
        for words in (("update", "-q"), ("install", "-q", "-y", "--no-install-recommends", *packages)):
            done = subprocess.run(
                ["apt-get", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=MINUTES_10_S,
                check=False,
            )
        if done.returncode:
            said = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise ServerFailed(f"{line} failed:\n{said}")
