"""The uv that does the work: the one on PATH where it is new enough, else a pinned one in `.tools/`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from scripts.setup.progress import SetupFailed, step

OLDEST = (0, 8)
"""uv's first version that reads the lock files' revision and knows every option used here."""

REQUIREMENTS = Path(__file__).with_name("uv.txt")

NO_PIP = (
    "this Python ({python}) has neither pip nor ensurepip, so nothing can be installed with it. Install "
    "python3-venv (Debian, Ubuntu: `apt install python3-venv`) or uv (https://docs.astral.sh/uv/), and run "
    "this again"
)


def find_uv(tools: Path) -> str:
    """The path of a uv, fetched into `tools` if need be.

    Raises:
        SetupFailed: there is none, and none can be fetched.
    """
    on_path = shutil.which("uv")
    if on_path and version(on_path) >= OLDEST:
        return on_path
    pinned = tools / f"uv-{pinned_version()}"
    if not (pinned / "bin" / "uv").exists():
        with step(f"fetching uv {pinned_version()} (about 25 MB)"):
            fetch(pinned)
    return str(pinned / "bin" / "uv")


def version(uv: str) -> tuple[int, ...]:
    """The version of the uv at this path; empty where it doesn't answer (a shim with nothing behind it)."""
    try:
        answer = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.match(r"uv (\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else ()


def pinned_version() -> str:
    """The version that `uv.txt` pins."""
    found = re.search(r"^uv==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if found is None:
        raise SetupFailed(f"{REQUIREMENTS} pins no uv; a line `uv==<version>` belongs there")
    return found[1]


def fetch(folder: Path) -> None:
    """Puts the pinned uv into `folder`, whole or not at all; its hash stands in `uv.txt`.

    Raises:
        SetupFailed: this Python can't install packages, or pip failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="uv-") as scratch:
        target = Path(scratch) / "uv"
        command = [
            *(_pip(Path(scratch))),
            *(
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--root-user-action",
                "ignore",
                "--no-deps",
                "--only-binary",
                ":all:",
            ),
            *("--require-hashes", "--target", str(target), "--requirement", str(REQUIREMENTS)),
        ]
        done = subprocess.run(command, stdout=sys.stderr, check=False, env={**os.environ, "PIP_USER": "0"})
        if done.returncode:
            raise SetupFailed("pip could not fetch uv (its message stands above); is the network there?")
        target.rename(folder)


def _pip(scratch: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0:
        return pip
    if not importlib.util.find_spec("ensurepip"):
        raise SetupFailed(NO_PIP.format(python=sys.executable))
    venv.create(scratch / "venv", with_pip=True)
    return [str(scratch / "venv" / "bin" / "python"), "-m", "pip"]
