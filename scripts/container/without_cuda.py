"""PyPI's torch on a processor alone, without the three gigabytes of CUDA libraries that it wants to be there.

Its libraries are linked to CUDA's, so the loader looks for each of those by name, and for every symbol whose
address is taken, even where no GPU will ever be asked. Small stand-ins satisfy it: the same names and
versions, and one function behind all of them, which says what is wrong and aborts. CUDA's runtime itself
stays (it is small): it is what tells torch that there is no GPU, after which nothing else of CUDA is called.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .progress import ImagesFailed, run

KEPT = ("torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti")
"""Of the packages that only the CUDA build needs: itself, and what it really calls."""

_KEPT_LIBRARIES = ("libcudart.so", "libcupti.so")
_CUDA = re.compile(r"lib(?!cuda\.)(cu|nccl|nv)\w*\.so\.\d+")  # not libcuda.so: the driver has to seem absent
_NEEDED = re.compile(r"^\s+NEEDED\s+(\S+)$", re.MULTILINE)
_FROM = re.compile(r"^\s+required from (\S+):$")
_VERSION = re.compile(r"^\s+0x\w+ 0x\w+ \d+ (\S+)$")
_UNDEFINED = re.compile(r"\*UND\*\s+[0-9a-f]+\s+(?:Base|\((\S+)\))?\s+(\w+)$")
_SOURCE = """\
#include <stdlib.h>
#include <unistd.h>
void hadal_no_cuda(void) {
  static const char text[] = "This image has no CUDA libraries: build it with --torch cuda to use a GPU.\\n";
  if (write(2, text, sizeof text - 1)) {}
  abort();
}
"""


@dataclass(slots=True)
class Missing:
    """A library that isn't there: its symbols by their version; the version "" is none."""

    symbols: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def replace_cuda(packages: Path) -> None:
    """Write stand-ins for every CUDA library that torch is linked to, and drop what is kept but never loaded.

    Raises:
        ImagesFailed: there is no C compiler, or it failed.
    """
    if not (shutil.which("gcc") and shutil.which("objdump")):
        raise ImagesFailed(
            "leaving CUDA's libraries out takes gcc and objdump (on Debian: apt-get install gcc libc6-dev); "
            "install them, or give --torch cpu or --torch cuda"
        )
    folder = next(packages.glob("nvidia/cu*/lib"))
    for path in folder.iterdir():
        if not path.name.startswith(_KEPT_LIBRARIES):
            path.unlink()
    for path in (*packages.glob("nvidia/cu*/include"), *packages.glob("nvidia/cu*/bin")):
        shutil.rmtree(path)
    there = {path.name for path in folder.iterdir()}
    for name, missing in missing_libraries(packages.glob("torch/lib/*.so*"), there).items():
        _write_stand_in(folder / name, missing)


def missing_libraries(libraries: Iterable[Path], there: set[str]) -> dict[str, Missing]:
    """What of CUDA these libraries are linked to and isn't there, with the symbols that they look for."""
    said = [run(["objdump", "-p", "-T", str(library)]) for library in libraries]
    needed = {name for text in said for name in _NEEDED.findall(text) if _CUDA.fullmatch(name)}
    missing = {name: Missing() for name in sorted(needed - there)}
    for text in said:
        source = dict(_version_sources(text))
        for line in text.splitlines():
            if found := _UNDEFINED.search(line):
                version, symbol = found[1] or "", found[2]
                name = source.get(version) or _library_by_prefix(symbol, missing)
                if name in missing:
                    missing[name].symbols[version].add(symbol)
    return missing


def _version_sources(said: str) -> Iterator[tuple[str, str]]:
    """Each version that a library wants, and the library that it wants it from."""
    library = ""
    for line in said.splitlines():
        if found := _FROM.match(line):
            library = found[1]
        elif library and (found := _VERSION.match(line)):
            yield found[1], library


def _library_by_prefix(symbol: str, missing: Iterable[str]) -> str | None:
    """Of symbols without a version: NVIDIA's begin with their library's name, `cuFile…`, `cusparseLt…`."""
    fitting = [
        name
        for name in missing
        if symbol.lower().startswith(name.removeprefix("lib").partition(".")[0].lower())
    ]
    return max(fitting, key=len, default=None)


def _write_stand_in(library: Path, missing: Missing) -> None:
    names = sorted(name for names in missing.symbols.values() for name in names)
    source, versions = library.with_suffix(".c"), library.with_suffix(".map")
    aliases = (f'void {name}(void) __attribute__((alias("hadal_no_cuda")));\n' for name in names)
    source.write_text(_SOURCE + "".join(aliases))
    versions.write_text(
        "".join(
            f"{version} {{ global: {'; '.join(sorted(symbols))}; }};\n"
            for version, symbols in missing.symbols.items()
            if version
        )
    )
    script = [f"-Wl,--version-script={versions}"] if versions.stat().st_size else []
    run(
        [
            *("gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-w", str(source), "-o", str(library)),
            *(f"-Wl,-soname,{library.name}", *script),
        ]
    )
    source.unlink()
    versions.unlink()
