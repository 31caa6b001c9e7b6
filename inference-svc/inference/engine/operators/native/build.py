"""Builds the C++ of this folder with the machine's compiler, once, and loads it, or what was built ahead.

A library is kept under the user's cache by the checksum of sources and command. It links the OpenMP that
torch has loaded already, so both share one pool of threads. Where there is no compiler, as in an image,
`python build.py FOLDER` has put the libraries for both kinds of processor beside the sources.
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

FOLDER = Path(__file__).parent
SOURCES = tuple(sorted(FOLDER.glob("*.cpp")))
_HEADERS = tuple(sorted(FOLDER.glob("*.h")))
NEEDED_INSTRUCTIONS = frozenset({"avx2", "fma", "f16c"})
WIDE_INSTRUCTIONS = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16", "avx512_vnni"})
"""Of the processors that the wider form is built for; the compiler's flags have no underscores."""
_FLAGS = "-std=c++17 -O3 -ffast-math -fopenmp -fPIC"
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
    flags = _flags(wide=instructions >= WIDE_INSTRUCTIONS)
    library = _library(FOLDER, flags)
    try:
        if not library.is_file():
            compiler = _compiler()
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hadal" / "kernels"
            library = _library(folder, flags, compiler)
            if not library.is_file():
                _build(compiler, flags, library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise NativeUnavailable(f"{library} can't be built or loaded") from error


def build_ahead(folder: Path) -> list[Path]:
    """Build the libraries into a folder, from which `load_native` takes one if it is the sources' own.

    Raises:
        NativeUnavailable: no compiler, or a build that failed.
    """
    compiler, built = _compiler(), []
    for wide in (False, True):
        flags = _flags(wide=wide)
        built.append(_library(folder, flags))
        _build(compiler, flags, built[-1])
    return built


def _compiler() -> str:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NativeUnavailable("no C++ compiler (g++ or clang++) is installed")
    return compiler


def _flags(*, wide: bool) -> list[str]:
    names = sorted(NEEDED_INSTRUCTIONS)
    if wide:
        names += [name.replace("_", "") for name in sorted(WIDE_INSTRUCTIONS)]
        names.append("prefer-vector-width=512")
    return [*_FLAGS.split(), *(f"-m{name}" for name in names)]


def _library(folder: Path, flags: list[str], compiler: str = "ahead") -> Path:
    """Where the library of these sources lies, by what it is built of."""
    told = " ".join([compiler, *flags]).encode()
    told += b"".join(path.read_bytes() for path in (*SOURCES, *_HEADERS))
    return folder / f"native-{hashlib.sha256(told).hexdigest()[:16]}.so"


def _build(compiler: str, flags: list[str], library: Path) -> None:
    """Compile beside the library's place and rename, so that two processes can't meet half a file."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        compiled = [Path(scratch) / f"{source.stem}.o" for source in SOURCES]
        linked = Path(scratch) / "native.so"
        # In two steps: linked with -ffast-math, a library would switch the whole process to flush-to-zero.
        for command in (
            *(
                [compiler, *flags, "-c", str(source), "-o", str(made)]
                for source, made in zip(SOURCES, compiled, strict=True)
            ),
            [compiler, "-shared", "-fopenmp", *map(str, compiled), "-o", str(linked), "-lm"],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_BUILD_LIMIT_S)
            except subprocess.SubprocessError as error:
                raise NativeUnavailable(f"{compiler} can't build the kernels") from error
        linked.replace(library)


if __name__ == "__main__":
    build_ahead(Path(sys.argv[1]))
