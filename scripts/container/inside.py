"""Runs inside the base while an image is built: `make [PROGRAM …]`, then `compile-library`.

The base's own Python compiles ahead, because bytecode belongs to one version of Python; nothing but its
standard library is used, and no shell. Bytecode is never checked against its source again: an image's files
don't change, and their times are those of the build.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import os
import re
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

UNCHECKED = PycInvalidationMode.UNCHECKED_HASH
NEVER_IMPORTED = re.compile(r"/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|(site|dist)-packages)/")
"""Of a standard library."""


def make(folder: Path, programs: list[str]) -> None:
    """Make `folder` ready: a Python and programs in its `bin`, bytecode beside every source, open to all."""
    _check_version(os.environ["PYTHON"])
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    for program in programs:
        _write_launcher(folder, program)
    if not compileall.compile_dir(folder / "app", quiet=1, force=True, invalidation_mode=UNCHECKED):
        sys.exit("the program doesn't compile")
    # Some packages carry templates that are no Python of any version: those stay as they are.
    compileall.compile_dir(folder / "packages", quiet=2, force=True, workers=0, invalidation_mode=UNCHECKED)
    _open(folder)


def compile_library() -> None:
    """Compile what the base left uncompiled of Python's own library."""
    compileall.compile_dir(
        sysconfig.get_path("stdlib"), quiet=2, rx=NEVER_IMPORTED, workers=0, invalidation_mode=UNCHECKED
    )


def _check_version(wanted: str) -> None:
    there = f"{sys.version_info.major}.{sys.version_info.minor}"
    if there != wanted:
        sys.exit(f"the base has Python {there}, the packages are for {wanted}: give `--python {there}`")


def _write_launcher(folder: Path, program: str) -> None:
    """A program of a package, as its wheel declares it."""
    packages = importlib.metadata.distributions(path=[str(folder / "packages")])
    point = next(
        point
        for package in packages
        for point in package.entry_points
        if (point.group, point.name) == ("console_scripts", program)
    )
    launcher = folder / "bin" / program
    start = f"import sys\nfrom {point.module} import {point.attr}\nsys.exit({point.attr}())\n"
    launcher.write_text(f"#!{folder}/bin/python\n{start}")
    launcher.chmod(0o755)


def _open(folder: Path) -> None:
    """Readable by any user, whatever the umask of the one who built it; writable by none but root."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod((mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o022 & 0o7777)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(__file__).parent, sys.argv[2:])
    else:
        compile_library()
