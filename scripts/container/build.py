"""An image from its recipe: base, packages, list of them, build, archive, and a record of how it came out."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.setup import torch

from .archive import bytes_above, layer_sizes
from .base import find_base
from .progress import ImagesFailed, run, say, step
from .recipe import DIST, PYTHON, ROOT, Recipe
from .sbom import FILE
from .staging import Build, stage_packages
from .tool import Tool

SBOM_IN_IMAGE = f"/opt/hadal/{FILE}"
_KERNELS = Path("inference") / "engine" / "operators" / "native" / "build.py"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller decides of an image; None is the default."""

    base: str | None = None
    python: str = PYTHON
    tag: str | None = None
    torch: Build | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built; sizes are unpacked bytes."""

    image: str
    base: str
    above_base_bytes: int
    whole_bytes: int
    archive: str
    sbom: str


def build_image(recipe: Recipe, tool: Tool, wish: Wish, dist: Path = DIST) -> Built:
    """Build an image, and write its archive, its list of packages and its record into `dist`.

    Raises:
        ImagesFailed: it can't be built.
    """
    with _alone():
        epoch_s = build_time_s()
        base = find_base(tool, wish.base, epoch_s)
        stage_packages(recipe, wish.python, _torch(recipe, wish.torch))
        if recipe.name == "inference":
            _stage_kernels(recipe)
        image = f"{recipe.image}:{wish.tag or recipe.version}"
        with step(f"{recipe.name}: {image} on {base}, by {tool.name}"):
            tool.build(
                recipe.containerfile,
                ROOT,
                image,
                arguments={"BASE": base, "PYTHON": wish.python},
                labels=labels(recipe, base, epoch_s),
                epoch_s=epoch_s,
            )
        return _archive(recipe, tool, image, base, dist)


def labels(recipe: Recipe, base: str, epoch_s: int) -> dict[str, str]:
    """What an image says of itself, by the names that the OCI gives."""
    said = {
        "title": f"hadal-{recipe.name}",
        "description": recipe.about,
        "version": recipe.version,
        "revision": _git("rev-parse", "HEAD"),
        "created": datetime.fromtimestamp(epoch_s, UTC).isoformat().replace("+00:00", "Z"),
        "licenses": "Apache-2.0",
        "base.name": base,
    }
    marks = {f"org.opencontainers.image.{name}": value for name, value in said.items() if value}
    return {**marks, "dev.hadal.sbom": SBOM_IN_IMAGE}


def build_time_s() -> int:
    """The time that an image's files bear: SOURCE_DATE_EPOCH, else that of the last commit, else none."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(given if given.isdigit() else _git("log", "-1", "--format=%ct") or 0)


def built(dist: Path = DIST) -> dict[str, Built]:
    """The images whose archives lie in `dist`, by their recipe's name."""
    records = {path.name.removesuffix(".image.json"): path for path in sorted(dist.glob("*.image.json"))}
    found = {name: Built(**json.loads(path.read_text())) for name, path in records.items()}
    return {name: image for name, image in found.items() if Path(image.archive).is_file()}


def _archive(recipe: Recipe, tool: Tool, image: str, base: str, dist: Path) -> Built:
    dist.mkdir(parents=True, exist_ok=True)
    archive = dist / f"hadal-{recipe.name}.oci.tar"
    beside = dist / f"hadal-{recipe.name}.cdx.json"
    with step(f"{recipe.name}: {archive}"):
        tool.save(image, archive)
        sizes = layer_sizes(archive)
    shutil.copyfile(recipe.staging / FILE, beside)
    above = bytes_above(sizes, set(tool.layers(base)))
    done = Built(image, base, above, sum(sizes.values()), str(archive), str(beside))
    (dist / f"{recipe.name}.image.json").write_text(json.dumps(asdict(done), indent=2) + "\n")
    return done


def _torch(recipe: Recipe, wanted: Build | None) -> Build | None:
    """Which torch goes in: by default one for a processor, the smaller one that can be had."""
    if recipe.name != "inference":
        return None
    if wanted is None:
        wanted = "cpu" if torch.index_answers(torch.cpu_index()) else "stubs"
        say(f"  torch: the {wanted} build (--torch)")
    return wanted


def _stage_kernels(recipe: Recipe) -> None:
    """Compile the model service's C++ ahead, where there is a compiler: the image has none."""
    folder = recipe.staging / "kernels"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if platform.machine() != "x86_64" or not (shutil.which("g++") or shutil.which("clang++")):
        say("  no C++ compiler for x86-64 here: the image computes without the native kernels, more slowly")
        return
    with step(f"{recipe.name}: its kernels in C++"):
        run([sys.executable, "-P", str(recipe.project / _KERNELS), str(folder)])


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time: what a Containerfile copies lies in one place."""
    DIST.mkdir(exist_ok=True)
    try:
        lock = (DIST / "images.lock").open("w")
    except OSError as error:
        raise ImagesFailed(f"{DIST} can't be written ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  another build is running in this checkout; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
