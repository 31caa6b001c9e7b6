"""The process's life: HTTP at once, the model when it has loaded, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable

from aiohttp import web

from inference.app import make_app
from inference.checkpoint.locate import checkpoint_name
from inference.errors import InternalError
from inference.loading import CheckpointLoader
from inference.pool import ModelPool
from inference.pool_entry import ModelSource
from inference.serving import Serving
from inference.settings import Settings

GRACE_S = 5.0  # for answers that are already written to leave the sockets
_log = logging.getLogger(__name__)


async def serve(settings: Settings) -> int:
    """Serve until a signal comes; return the exit status.

    SIGTERM: take nothing new, finish what generates, end. SIGINT or a second SIGTERM: end now.
    0 is an orderly end, 2 a model that can't be had or an address that can't be used.
    """
    serving = Serving(_pool(settings))
    runner = web.AppRunner(
        make_app(serving, settings.payload_limit_bytes),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=GRACE_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.hostname, settings.port).start()
    except OSError as error:
        _log.error("can't listen on %s port %s: %s", settings.hostname, settings.port, error.strerror)
        await runner.cleanup()
        return 2
    _log.info("listening", extra={"host": settings.hostname, "port": runner.addresses[0][1]})
    status = await _run(serving)
    await runner.cleanup()
    return status


def default_name(settings: Settings) -> str:
    """What the default model is called."""
    return settings.served_model_name or checkpoint_name(settings.model_id)


def _pool(settings: Settings) -> ModelPool:
    default = ModelSource(
        default_name(settings), settings.model_id, settings.revision, settings.lora_adapters
    )
    others = (ModelSource(name, location) for name, location in settings.models.items())
    return ModelPool([default, *others], CheckpointLoader(settings), time.monotonic)


async def _run(serving: Serving) -> int:
    """Load, then wait for the end: a load that failed, or a signal and then what was being served."""
    signals = _Signals()
    loading = asyncio.ensure_future(serving.start())
    await _first_of(loading, signals.terminate.wait(), signals.now.wait())
    if loading.done() and (error := loading.exception()):
        return 1 if isinstance(error, InternalError) else 2  # the log says why
    await _first_of(signals.terminate.wait(), signals.now.wait())
    serving.drain()
    _log.info("draining")
    await _first_of(serving.idle(), signals.now.wait())
    return 0


class _Signals:
    """`terminate` after a SIGTERM; `now` after a SIGINT or a second SIGTERM."""

    def __init__(self) -> None:
        self.terminate, self.now = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.now.set)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)

    def _terminate(self) -> None:
        (self.now if self.terminate.is_set() else self.terminate).set()


async def _first_of(*waits: Awaitable[object]) -> None:
    """Wait until one is done; the others that were made for this wait are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, wait in zip(tasks, waits, strict=True):
        if task is not wait:
            task.cancel()
