"""Building the programs, once, into a cache outside the repository.

A program lies under a digest of everything that it depends on, so that a changed pin builds anew and an
interrupted build goes on where it stopped: Go keeps what it has compiled.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .programs import PROGRAMS, Program

TOOLS = Path(__file__).parent / "tools"
_LAST_LINES = 15
_NEEDED_BYTES = 8 << 30  # Go's module and build caches, and the programs that admission takes
_FOR_ALL_BYTES = 12 << 30  # with those of a whole node


class NodeError(Exception):
    """What was asked can't be done; the message is the one line that the user is shown (exit status 2)."""


def cache_folder() -> Path:
    """Where programs are kept: `$XDG_CACHE_HOME/hadal/cluster`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hadal" / "cluster"


def build(names: Iterable[str]) -> dict[str, Path]:
    """The programs' paths by name; those that aren't there yet are built, with a line each on standard error.

    Raises:
        NodeError: there is no Go, too little room on the disk, or a build failed.
    """
    programs = [PROGRAMS[name] for name in names]
    paths = {program.name: _path(program) for program in programs}
    missing = [program for program in programs if not paths[program.name].is_file()]
    if missing:
        _check_machine(_FOR_ALL_BYTES if len(missing) > len(PROGRAMS) / 2 else _NEEDED_BYTES)
        minutes = sum(program.minutes for program in missing)
        _say(
            f"  building {len(missing)} programs from source, once: about {minutes:.0f} minutes on two cores"
        )
    for number, program in enumerate(missing, 1):
        began_s = time.monotonic()
        _say(f"  … {number}/{len(missing)} {program.name}")
        _build(program, paths[program.name])
        _say(f"  ✓ {number}/{len(missing)} {program.name} ({time.monotonic() - began_s:.0f} s)")
    return paths


@functools.cache
def module_folder(module: str, path: str) -> Path:
    """Where the module `path` lies, in the version that `tools/<module>` pins.

    Raises:
        NodeError: it can't be had.
    """
    _run(module, "mod", "download", path)
    return Path(_run(module, "list", "-m", "-f", "{{.Dir}}", path).strip())


def _path(program: Program) -> Path:
    folder = TOOLS / program.module
    digest = hashlib.sha256(repr(replace(program, minutes=0)).encode())
    for source in sorted(folder.iterdir()):
        digest.update(source.read_bytes())
    return cache_folder() / digest.hexdigest()[:16] / program.name


def _check_machine(needed_bytes: int) -> None:
    if shutil.which("go") is None:
        raise NodeError(
            "there is no go on the PATH; Go 1.26 or later builds the programs (https://go.dev/dl)"
        )
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(cache).free
    if free_bytes < needed_bytes:
        raise NodeError(
            f"{cache} has {free_bytes / 1e9:.1f} GB of room; building takes {needed_bytes / 1e9:.1f} GB. "
            "Free some, or name a roomier folder in XDG_CACHE_HOME and GOPATH"
        )


def _build(program: Program, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    stamps = "".join(f" -X {variable}" for variable in program.variables)
    try:
        _run(
            program.module,
            "build",
            "-trimpath",
            "-ldflags",
            f"-s -w{stamps}",
            "-o",
            str(unfinished),
            program.package,
        )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _run(module: str, *words: str) -> str:
    done = subprocess.run(
        ["go", *words],
        check=False,
        cwd=TOOLS / module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-_LAST_LINES:])
        raise NodeError(f"go {' '.join(words[:2])} failed in {TOOLS / module}; it said last:\n{last}")
    return done.stdout


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
