"""Builds the C++ of this folder with the machine's compiler, once, and loads it.

A library is kept under the user's cache by the checksum of sources and command. It links the OpenMP that
torch has loaded already, so both share one pool of threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cpp")))
_HEADERS = tuple(sorted(Path(__file__).parent.glob("*.h")))
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
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NativeUnavailable("no C++ compiler (g++ or clang++) is installed")
    compile_ = [compiler, *_FLAGS.split(), *_machine_flags(instructions)]
    told = " ".join(compile_).encode() + b"".join(path.read_bytes() for path in (*SOURCES, *_HEADERS))
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hadal" / "kernels"
    library = folder / f"native-{hashlib.sha256(told).hexdigest()[:16]}.so"
    try:
        if not library.is_file():
            _build(compile_, library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise NativeUnavailable(f"{library} can't be built or loaded") from error


def _machine_flags(instructions: frozenset[str]) -> list[str]:
    names = sorted(NEEDED_INSTRUCTIONS)
    if instructions >= WIDE_INSTRUCTIONS:
        names += [name.replace("_", "") for name in sorted(WIDE_INSTRUCTIONS)]
        names.append("prefer-vector-width=512")
    return [f"-m{name}" for name in names]


def _build(compile_: list[str], library: Path) -> None:
    """Compile beside the library's place and rename, so that two processes can't meet half a file."""
    compiler = compile_[0]
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        compiled = [Path(scratch) / f"{source.stem}.o" for source in SOURCES]
        linked = Path(scratch) / "native.so"
        # In two steps: linked with -ffast-math, a library would switch the whole process to flush-to-zero.
        for command in (
            *(
                [*compile_, "-c", str(source), "-o", str(made)]
                for source, made in zip(SOURCES, compiled, strict=True)
            ),
            [compiler, "-shared", "-fopenmp", *map(str, compiled), "-o", str(linked), "-lm"],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_BUILD_LIMIT_S)
            except subprocess.SubprocessError as error:
                raise NativeUnavailable(f"{compiler} can't build the kernels") from error
        linked.replace(library)
