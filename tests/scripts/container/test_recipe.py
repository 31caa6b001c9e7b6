"""Containerfiles, manifests and what is staged speak of the same things."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from scripts.container.base import REGISTRY_BASE
from scripts.container.recipe import PYTHON, RECIPES, ROOT, Recipe
from tests.architecture.house import BASE, container

SERVICES = sorted(path.stem for path in BASE.glob("*.yaml") if path.stem != "kustomization")
NOBODY = "65532:65532"

each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)


def instructions(recipe: Recipe) -> list[list[str]]:
    text = recipe.containerfile.read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_runs_an_image_that_is_built(name: str) -> None:
    assert container(name)["image"] in {recipe.image for recipe in RECIPES.values()}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_manifest_starts_is_what_the_image_starts(name: str) -> None:
    recipe = next(each for each in RECIPES.values() if each.image == container(name)["image"])
    entry = next(words for words in instructions(recipe) if words[0] == "ENTRYPOINT")
    assert re.findall(r'"([^"]+)"', " ".join(entry)) == container(name)["command"]


@each_recipe
def test_an_image_needs_no_shell_and_no_name_for_its_user(recipe: Recipe) -> None:
    for words in instructions(recipe):
        assert words[0] != "RUN" or words[1].startswith('["python'), words
    assert ["USER", NOBODY] in instructions(recipe)


@each_recipe
def test_nothing_is_left_out_that_a_containerfile_copies(recipe: Recipe) -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [words[1] for words in instructions(recipe) if words[0] == "COPY" and "--from" not in words[1]]
    assert copied
    for source in copied:
        assert any(source == path or fnmatch(source, f"{path}/*") for path in let_in), source


@each_recipe
def test_the_default_base_has_the_python_that_packages_are_chosen_for(recipe: Recipe) -> None:
    assert ["ARG", f"BASE={REGISTRY_BASE}"] in instructions(recipe)
    assert ["ARG", f"PYTHON={PYTHON}"] in instructions(recipe)
    assert f"python:{PYTHON}-" in REGISTRY_BASE
