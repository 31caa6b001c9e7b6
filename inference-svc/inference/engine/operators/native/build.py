"""Builds `decode.cpp` with the machine's compiler, once, and loads it; or loads what was built ahead.

A library is kept under the user's cache by the checksum of source and command. It links the OpenMP that torch
has loaded already, so both share one pool of threads. Where there is no compiler, as in a container image,
`python build.py FOLDER` has put the library beside the source.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("decode.cpp")
NEEDED_INSTRUCTIONS = frozenset({"avx2", "fma", "f16c"})
_FLAGS = "-std=c++17 -O3 -mavx2 -mfma -mf16c -ffast-math -fopenmp -fPIC"
_BUILD_LIMIT_S = 120.0


class NativeUnavailable(Exception):  # noqa: N818 (no failure: plain torch computes the same)
    """There are no native kernels here; the text is one line that says why."""


@cache
def load_native(instructions: frozenset[str]) -> ctypes.CDLL:
    """The library, built first where it isn't there.

    Raises:
        NativeUnavailable: a processor without AVX2, no compiler, or a build that failed.
    """
    if missing := NEEDED_INSTRUCTIONS - instructions:
        raise NativeUnavailable(f"this processor has no {', '.join(sorted(missing))}")
    library = _library(SOURCE.parent)
    try:
        if not library.is_file():
            compiler = _compiler()
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hadal" / "kernels"
            library = _library(folder, compiler)
            if not library.is_file():
                _build(compiler, library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise NativeUnavailable(f"{library} can't be built or loaded") from error


def build_ahead(folder: Path) -> Path:
    """Build the library into a folder, from which `load_native` takes it if it is the source's own.

    Raises:
        NativeUnavailable: no compiler, or a build that failed.
    """
    library = _library(folder)
    _build(_compiler(), library)
    return library


def _compiler() -> str:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NativeUnavailable("no C++ compiler (g++ or clang++) is installed")
    return compiler


def _library(folder: Path, compiler: str = "ahead") -> Path:
    """Where the library of this source lies, by what it is built of."""
    key = hashlib.sha256(f"{compiler} {_FLAGS}".encode() + SOURCE.read_bytes()).hexdigest()[:16]
    return folder / f"decode-{key}.so"


def _build(compiler: str, library: Path) -> None:
    """Compile beside the library's place and rename, so that two processes can't meet half a file."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        compiled, linked = Path(scratch) / "decode.o", Path(scratch) / "decode.so"
        # In two steps: linked with -ffast-math, a library would switch the whole process to flush-to-zero.
        for command in (
            [compiler, *_FLAGS.split(), "-c", str(SOURCE), "-o", str(compiled)],
            [compiler, "-shared", "-fopenmp", str(compiled), "-o", str(linked), "-lm"],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_BUILD_LIMIT_S)
            except subprocess.SubprocessError as error:
                raise NativeUnavailable(f"{compiler} can't build the kernels") from error
        linked.replace(library)


if __name__ == "__main__":
    build_ahead(Path(sys.argv[1]))
