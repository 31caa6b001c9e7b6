"""Work beside the event loop: what its thread still holds when the loop is told."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable

import pytest

from inference.threads import in_thread


class Weights:
    """What must be gone when nobody needs it."""

    def close(self) -> None:
        """Work that is bound to them."""

    def fail(self) -> None:
        """Work that is bound to them, and fails."""
        raise ValueError("they are torn")


class LingeringLoop:
    """The running loop, in which a thread that has told it something stays until `leave` is set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.leave = threading.Event()
        self.create_future = self._loop.create_future
        self.is_closed = self._loop.is_closed

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)
        del callback, args
        assert self.leave.wait(10)


async def test_when_its_end_is_told_the_thread_has_let_go_of_the_work() -> None:
    loop = LingeringLoop()
    weights = Weights()
    gone = weakref.ref(weights)
    closing = in_thread(weights.close, loop)  # type: ignore[arg-type]  # as much of a loop as it takes
    del weights
    try:
        await closing
        assert gone() is None
    finally:
        loop.leave.set()


async def test_a_failure_is_handed_over_without_what_has_failed() -> None:
    loop = LingeringLoop()
    weights = Weights()
    gone = weakref.ref(weights)
    failing = in_thread(weights.fail, loop)  # type: ignore[arg-type]
    del weights
    try:
        with pytest.raises(ValueError, match="they are torn"):
            await failing
        assert gone() is None
    finally:
        loop.leave.set()
