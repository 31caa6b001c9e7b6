"""Which images there are, by the name that the commands take, and where things lie while they are made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
PYTHON = "3.11"
"""The version of Python that the default base has."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image: its project, and what its labels say."""

    name: str
    project: Path
    about: str

    @property
    def image(self) -> str:
        """Its name in the manifests; the host `dev.local` tells Knative not to ask a registry."""
        return f"dev.local/hadal-{self.name}"

    @property
    def containerfile(self) -> Path:
        """What it is built by."""
        return self.project / "Containerfile"

    @property
    def staging(self) -> Path:
        """Where the Containerfile finds what isn't in the repository; fixed, since it is named there."""
        return DIST / self.name

    @property
    def version(self) -> str:
        """The project's."""
        project = tomllib.loads((self.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("functions", ROOT, "Hadal's functions; FUNCTION_SOURCE and FUNCTION_TARGET choose one"),
        Recipe("inference", ROOT / "inference-svc", "Hadal's model service, without weights"),
    )
}
