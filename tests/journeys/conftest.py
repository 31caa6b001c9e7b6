"""One running system for the journeys that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.model_server import ModelServer, model_server
from tests.journeys.system import System, start


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="session")
def system(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = start(tmp_path_factory.mktemp("journeys"), model.url)
    yield running
    running.stop()
