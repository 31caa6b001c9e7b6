"""Real servers: started at the first test that wants one, with nothing in it, gone at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.servers import Running, running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Running]:
    with running("postgresql") as server:
        yield server


@pytest.fixture(scope="session")
def mongodb() -> Iterator[Running]:
    with running("mongodb") as server:
        yield server
