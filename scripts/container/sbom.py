"""The software bill of materials: CycloneDX, of the packages that were laid out, by CycloneDX's own tool.

The tool is installed into a folder of its own, from pinned hashes, when an image is built for the first time.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from scripts.setup.uv import find_uv

from .progress import ImagesFailed, run, step
from .recipe import ROOT, Recipe

REQUIREMENTS = Path(__file__).with_name("sbom.txt")
FILE = "sbom.cdx.json"


def write_sbom(recipe: Recipe, packages: Path) -> Path:
    """Write the list of what lies in `packages` beside it, and return where it is.

    It bears no time: the same packages give the same list.

    Raises:
        ImagesFailed: the tool can't be had, or failed.
    """
    python = _tool()
    target = recipe.staging / FILE
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    with step(f"{recipe.name}: the list of its packages (CycloneDX)"):
        run(
            [
                *(str(python), "-I", "-m", "cyclonedx_py", "environment", "-S", "--output-reproducible"),
                *("--pyproject", str(recipe.project / "pyproject.toml"), "--output-format", "JSON"),
                *("--output-file", str(target), sys.executable),
            ],
            # The tool asks that Python for its path, which shall be these packages and no others.
            env={**environment, "PYTHONPATH": str(packages)},
        )
    return target


def _tool() -> Path:
    """The Python that has the tool; a tool is there whole or not at all."""
    found = re.search(r"^cyclonedx-bom==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if found is None:
        raise ImagesFailed(f"{REQUIREMENTS} pins no cyclonedx-bom")
    folder = ROOT / ".tools" / f"cyclonedx-bom-{found[1]}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        uv = find_uv(ROOT / ".tools")
        shutil.rmtree(folder, ignore_errors=True)
        with step(f"fetching cyclonedx-bom {found[1]}"):
            run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)])
            hashed = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS)]
            run([uv, "pip", "install", "--quiet", "--python", str(python), *hashed])
        complete.touch()
    return python
