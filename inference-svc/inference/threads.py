"""Work that blocks, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    """Run `work` in a daemon thread: unlike an executor's, it doesn't hold up the end of the process.

    The thread has let go of `work`, and of what that is bound to, when the future is told.
    """
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a T wherever there is no error

    def run() -> None:
        nonlocal work
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (handed over to whoever awaits the future)
            _let_go(error)
            outcome: tuple[T | None, Exception | None] = (None, error)
        else:
            outcome = (result, None)
        del work
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="load", daemon=True).start()
    return future


def _let_go(error: BaseException | None) -> None:
    """Free what the work has made before it failed: an error's traceback knows it all."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
