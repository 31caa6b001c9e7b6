"""The engine over transformers: one request generates at a time, the others wait in order.

The model runs in one thread of its own, so the event loop stays free; events cross over one by one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

from inference.engine.port import EngineDescription, EngineEvent, EngineLoad, GenerationRequest, Scheduled
from inference.engine.step_counts import StepCounts
from inference.engine.token_loop import TokenLoop
from inference.errors import GenerationFailedError

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    """A request on its way to the model's thread, and the way back for its events. `None` ends them."""

    request: GenerationRequest
    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[EngineEvent | GenerationFailedError | None] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, event: EngineEvent | GenerationFailedError | None) -> None:
        """Hand an event to the loop that waits for it, unless that one has gone."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits there
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)


class TransformersEngine:
    """`Engine` around a `TokenLoop`."""

    def __init__(self, token_loop: TokenLoop, description: EngineDescription) -> None:
        self.description = description
        self._token_loop = token_loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = self._running = self._granted_tokens = 0
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def steps(self) -> StepCounts:
        """What its steps took so far."""
        return self._token_loop.counts

    def load(self) -> EngineLoad:
        """Tell how busy the engine is at this moment."""
        began_s = self._token_loop.step_began_s
        return EngineLoad(
            self._running,
            self._waiting,
            step_s=0.0 if began_s is None else time.monotonic() - began_s,
            granted_tokens=self._granted_tokens,
            alive=self._thread.is_alive(),
        )

    def close(self) -> None:
        """End the thread, after what it does now."""
        self._jobs.put(None)
        self._thread.join()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of one generation; closing the generator cancels it within one step.

        Raises:
            GenerationFailedError: the model could not compute this request; others are not affected.
        """
        job = _Job(request, asyncio.get_running_loop())
        scheduled, most_tokens = False, len(request.prompt_ids) + request.max_new_tokens
        self._waiting += 1
        self._jobs.put(job)
        try:
            while (event := await job.events.get()) is not None:
                if isinstance(event, GenerationFailedError):
                    raise event
                if isinstance(event, Scheduled):
                    scheduled = True
                    self._waiting, self._running = self._waiting - 1, self._running + 1
                    self._granted_tokens += most_tokens
                yield event
        finally:
            job.cancelled.set()
            if scheduled:
                self._running -= 1
                self._granted_tokens -= most_tokens
            else:
                self._waiting -= 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.cancelled.is_set():
                self._run(job)

    def _run(self, job: _Job) -> None:
        try:
            for event in self._token_loop.run(job.request, job.cancelled.is_set):
                job.tell(event)
        except Exception:  # noqa: BLE001 (one request's failure must not end the thread that serves all)
            _log.exception("a generation failed")
            job.tell(GenerationFailedError("the model could not compute this request"))
        else:
            job.tell(None)
