"""Serving is tried on the loop that it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop's, and no other."""
    return {"uvloop": uvloop.new_event_loop}
