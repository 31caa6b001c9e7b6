"""What a Containerfile finds ready: the lock file's wheels, unpacked, and the list of what they are.

Wheels are laid out before a build and not in it: there the package client of this machine has its settings
and its cache, and a build needs no network. Hashes are those of the lock file. A staged folder is used again
as long as the lock file is the same.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path
from typing import Literal

from scripts.setup import lockfile, torch
from scripts.setup.uv import find_uv

from . import sbom, without_cuda
from .progress import run, step
from .recipe import ROOT, Recipe

Build = Literal["cpu", "cuda", "stubs"]
"""PyTorch's CPU build; PyPI's with CUDA's libraries; PyPI's without them, for a processor."""

GLIBC = "2_36"
"""Of Debian 12, the oldest base that wheels are chosen for."""

_STAMP = "staged"
_NOT_NEEDED = ("bin", "*/tests", "torch/include", "torch/share", "torch/test")
"""Of the packages: launchers of this machine's Python, tests, what C++ is compiled against."""


def stage_packages(recipe: Recipe, python: str, build: Build | None) -> None:
    """Lay out the packages and their list; `build` says which torch (None: the project has none).

    Raises:
        ImagesFailed: they can't be had.
    """
    folder = recipe.staging / "packages"
    stamp = recipe.staging / _STAMP
    digest = _digest(recipe, python, build)
    if not (stamp.is_file() and stamp.read_text() == digest):
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        with step(f"{recipe.name}: the lock file's wheels into {folder.relative_to(ROOT)}"):
            lay_out(recipe, folder, python, build)
        sbom.write_sbom(recipe, folder)
        stamp.write_text(digest)


def _digest(recipe: Recipe, python: str, build: Build | None) -> str:
    ours = (Path(__file__), Path(without_cuda.__file__), Path(sbom.__file__), sbom.REQUIREMENTS)
    sources = (*ours, recipe.project / "uv.lock", recipe.project / "pyproject.toml")
    parts = [*(path.read_bytes() for path in sources), python.encode(), str(build).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def lay_out(recipe: Recipe, folder: Path, python: str, build: Build | None) -> None:
    """Unpack a lock file's wheels into a folder, which isn't there yet.

    Raises:
        ImagesFailed: they can't be had.
    """
    uv = find_uv(ROOT / ".tools")
    folder.parent.mkdir(parents=True, exist_ok=True)
    requirements = folder.with_name("requirements.txt")
    lock = recipe.project / "uv.lock"
    left_out = _left_out(lock, build)
    run(
        [
            *(uv, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project"),
            *(part for name in left_out for part in ("--no-emit-package", name)),
            *("--project", str(recipe.project), "--output-file", str(requirements)),
        ]
    )
    target = _target(uv, folder, python)
    run([*target, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)])
    if build == "cpu":
        cpu_build = f"torch=={lockfile.version_of(lock, 'torch')}+cpu"
        run([*target, "--index-url", torch.cpu_index(), cpu_build])
    if build == "stubs":
        without_cuda.replace_cuda(folder)
    for pattern in _NOT_NEEDED:
        for path in sorted(folder.glob(f"**/{pattern}" if pattern.startswith("*/") else pattern)):
            shutil.rmtree(path, ignore_errors=True)


def _target(uv: str, folder: Path, python: str) -> list[str]:
    return [
        *(uv, "pip", "install", "--quiet", "--no-deps", "--target", str(folder)),
        *("--python", sys.executable, "--python-version", python),
        *("--python-platform", f"{platform.machine()}-manylinux_{GLIBC}"),
    ]


def _left_out(lock: Path, build: Build | None) -> list[str]:
    """The packages of the lock file that this build of torch does without."""
    cuda = torch.cuda_packages(package["name"] for package in lockfile.packages(lock))
    kept = {"cpu": (), "stubs": without_cuda.KEPT}.get(build or "", cuda)
    return [name for name in cuda if name not in kept]
