"""The function's start and end, at the server's: before the first request and after the last."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from uvicorn.config import Config

from functions._runtime.logs import take_over_library_logs
from functions._runtime.serving.hosting import answering_s, hosted

_ORPHAN_CHECK_S = 1.0


class FunctionLifespan:
    """Takes the place of uvicorn's `LifespanOn`, whose form this is."""

    def __init__(self, config: Config) -> None:
        self._hosted = hosted()
        self._watch: asyncio.Task[None] | None = None
        self.should_exit = False
        self.state: dict[str, Any] = {}
        # What isn't answered then is cancelled; the application says 503, or breaks off its stream.
        graceful_timeout_s = self._hosted.application.settings.graceful_timeout_s
        config.timeout_graceful_shutdown = answering_s(graceful_timeout_s)  # type: ignore[assignment]
        config.encoded_headers = []  # no `Server` header: it is nobody's business

    async def startup(self) -> None:
        """Begin to build the function; requests are taken at once and wait for it."""
        take_over_library_logs(self._hosted.application.log)
        self._hosted.application.lifecycle.start()
        if os.getpid() != self._hosted.master_pid:
            self._watch = asyncio.create_task(_end_without_master(self._hosted.master_pid))

    async def shutdown(self) -> None:
        """Close the function; the server calls it when the last answer is out, or has been cut off."""
        if self._watch is not None:
            self._watch.cancel()
        await self._hosted.application.close()


async def _end_without_master(master_pid: int) -> None:
    """End this worker when the process that supervises it has died: nobody else would ever stop it."""
    while os.getppid() == master_pid:  # noqa: ASYNC110  nothing tells a process that its parent has died
        await asyncio.sleep(_ORPHAN_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
