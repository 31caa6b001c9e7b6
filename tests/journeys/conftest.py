"""One running system for the journeys that leave it as they found it: on this machine, or on the node."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.journeys import node
from tests.journeys.model_server import ModelServer, model_server
from tests.journeys.system import Door, start

ON_NODE = "HADAL_NODE" in os.environ
"""Set by `scripts/cluster journeys`: they are taken through the node's front door."""


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server(node.HOST_ADDRESS if ON_NODE else "127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def system(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    if ON_NODE:
        with node.hadal(model.url) as deployed:
            yield deployed
        return
    running = start(tmp_path_factory.mktemp("journeys"), model.url)
    yield running
    running.stop()
