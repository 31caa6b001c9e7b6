"""A function's life in its process: built once, kept running, closed last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from functions._runtime.errors import Problem, Unavailable
from functions._runtime.ground import Function
from functions._runtime.logs import Log

Build = Callable[[AsyncExitStack], Awaitable[Function]]

RETRY_AFTER_S = 1
BACKGROUND_STOP_S = 6.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Lifecycle:
    """Builds the function at `start` or at the first request, whichever comes first.

    A build that fails is reported to whoever asks, and tried again by the next one who asks a second later.
    """

    def __init__(self, build: Build, log: Log) -> None:
        self._build = build
        self._log = log
        self._function: Function | None = None
        self._building: asyncio.Task[Function] | None = None
        self._failed_at = float("-inf")
        self._failure = ""
        self._stack = AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []

    def start(self) -> asyncio.Task[Function]:
        """Begin to build, without waiting for it."""
        if self._building is None:
            self._building = asyncio.create_task(self._built())
            # Who waits for it gets its failure; where nobody does, the log has it.
            self._building.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._building

    async def function(self) -> Function:
        """The function, built.

        Raises:
            Unavailable: it couldn't be built now.
        """
        if self._function is not None:
            return self._function
        if self._building is None and asyncio.get_running_loop().time() < self._failed_at + RETRY_AFTER_S:
            raise Unavailable(self._failure, retry_after_s=RETRY_AFTER_S)
        return await asyncio.shield(self.start())  # a caller who leaves doesn't end it for the others

    async def missing(self) -> list[str]:
        """What the function waits for, one line each; none when it is ready."""
        try:
            function = await self.function()
        except Problem as problem:
            return [problem.message]
        answers = await asyncio.gather(*(self._check(name, check) for name, check in function.ready.items()))
        return [answer for answer in answers if answer is not None]

    async def close(self) -> None:
        """Stop the background tasks, then close what the function opened, the last first."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.gather(self._building, return_exceptions=True)
        for task in self._background:
            task.cancel()
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=BACKGROUND_STOP_S)
            if late:
                self._log.warning("background_tasks_left_behind", count=len(late))
        await self._stack.aclose()

    async def _built(self) -> Function:
        stack = AsyncExitStack()
        try:
            function = await self._build(stack)
        except BaseException as error:  # whatever it was, the next one who asks may try again
            await stack.aclose()
            self._failed_at = asyncio.get_running_loop().time()
            if not isinstance(error, Exception):
                raise
            reason = (
                error.message if isinstance(error, Problem) else "It couldn't be set up; its log says why."
            )
            self._log.error("build_failed", error=error, reason=reason)
            self._failure = f"The function isn't ready: {reason}"
            raise Unavailable(self._failure, retry_after_s=RETRY_AFTER_S) from None
        finally:
            self._building = None
        self._function, self._stack = function, stack
        self._background = [asyncio.create_task(self._kept_running(task)) for task in function.background]
        return function

    async def _kept_running(self, task: Callable[[], Awaitable[None]]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await task()
            except Exception as error:  # noqa: BLE001  a supervising loop outlives its failures
                self._log.error("background_task_failed", error=error, retry_after_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _check(self, name: str, check: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await check()
        except Exception as error:  # noqa: BLE001  a readiness probe answers, whatever is wrong
            if isinstance(error, Problem):
                return f"{name}: {error.message}"
            self._log.error("readiness_check_failed", error=error, check=name)
            return f"{name}: the check failed; the log says why."
        return None
