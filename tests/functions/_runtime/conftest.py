"""Addresses of stores, by the name of their adapter."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.servers import Running


@pytest.fixture
def address_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The address of a store by its adapter; a server behind it is started at its first use."""

    def address(adapter: str) -> str:
        if adapter in ("memory", "sqlite"):
            return "memory:" if adapter == "memory" else f"sqlite:{tmp_path}/store.db"
        server: Running = request.getfixturevalue(adapter)
        return server.url

    return address


@pytest.fixture
def namespace() -> str:
    """A part of a server that no other test uses."""
    return f"n{uuid.uuid4().hex[:16]}"
