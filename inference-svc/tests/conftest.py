"""Checkpoints and the real model, made once a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small random-weight checkpoint of a shape."""
    from scripts.make_checkpoint import make_checkpoint

    made: dict[str, Path] = {}

    def make(shape: str) -> Path:
        if shape not in made:
            made[shape] = make_checkpoint(tmp_path_factory.mktemp("checkpoints") / shape, shape)
        return made[shape]

    return make


@pytest.fixture(scope="session")
def default_model(pytestconfig: pytest.Config) -> Path:
    """The converted default model; fetched once and kept between runs."""
    from inference.checkpoint.default_model import NAME, prepare_default_model

    assert pytestconfig.cache is not None
    return prepare_default_model(pytestconfig.cache.mkdir("models") / NAME, print)
