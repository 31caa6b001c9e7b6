"""The door in front of the models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inference.engine.port import EngineLoad, GenerationRequest
from inference.errors import OverloadedError, UnhealthyError
from inference.generation import Clock, Generation, Timings
from inference.loaded_model import LoadedModel
from inference.metrics import Metrics
from inference.pool import ModelPool
from inference.reasoning import ReasoningSplit
from inference.tool_calls import ToolCallReader

HUNG_STEP_S = 300.0
"""A step takes well under a second, on a slow processor with a large model a minute: this one never ends."""


class Serving:
    """Lets requests in while the default model is ready and there is room; knows when the last has left."""

    def __init__(self, pool: ModelPool, clock: Clock = time.monotonic) -> None:
        self.pool = pool
        self.clock = clock
        self.metrics = Metrics(self._load, pool)
        self._unready: str | None = "loading"
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Load the default model, then let requests in; a process that is already going away stays closed.

        Raises:
            InferenceError: it can't be loaded.
        """
        if load := self.pool.start_load(self.pool.default.name):
            await asyncio.shield(load.task)
        if self._unready == "loading":
            self._unready = None

    def drain(self) -> None:
        """Take nothing new from now on."""
        self._unready = "draining"

    async def idle(self) -> None:
        """Wait until nothing is being served."""
        await self._idle.wait()

    def model(self) -> LoadedModel:
        """The default model, while requests are let in.

        Raises:
            UnhealthyError: with the reason `loading` or `draining`.
        """
        model = self.pool.default.model
        if self._unready is not None or model is None:
            raise UnhealthyError(f"unhealthy: {self._unready}")
        return model

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[LoadedModel]:
        """A model, for requests that don't generate; it stays until the block ends.

        Raises:
            UnhealthyError: not ready.
            InferenceError: no such model, or it can't be loaded (`ModelPool.use`).
        """
        self.model()
        async with self.pool.use(name) as model:
            yield model

    def check_progress(self) -> None:
        """See that the engines move.

        Raises:
            UnhealthyError: a step hangs, or an engine has failed for good; only a restart helps.
        """
        load = self._load()
        if not load.alive:
            raise UnhealthyError("unhealthy: the engine has failed and computes nothing any more")
        if load.step_s > HUNG_STEP_S:
            raise UnhealthyError(f"unhealthy: a step of the engine hangs since {load.step_s:.0f} s")

    @asynccontextmanager
    async def admit(self, name: str | None, requests: int = 1) -> AsyncIterator[LoadedModel]:
        """Take a place for each request until the block ends, and the model `name`, loaded where it isn't.

        Raises:
            UnhealthyError: not ready.
            OverloadedError: `MAX_CONCURRENT_REQUESTS` would be exceeded.
            InferenceError: no such model, or it can't be loaded (`ModelPool.use`).
        """
        if self._in_flight + requests > self.model().limits.max_concurrent_requests:
            raise OverloadedError("Model is overloaded")
        self._in_flight += requests
        self._idle.clear()
        try:
            async with self.pool.use(name) as model:
                yield model
        finally:
            self._in_flight -= requests
            if not self._in_flight:
                self._idle.set()

    def generation(
        self,
        model: LoadedModel,
        request: GenerationRequest,
        stop: tuple[str, ...],
        arrived_s: float,
        reasoning: ReasoningSplit | None = None,
        tools: ToolCallReader | None = None,
    ) -> Generation:
        """A generation that reports to the metrics when it ends."""
        return Generation(
            engine=model.engine,
            tokenizer=model.tokenizer,
            request=request,
            stop=stop,
            timings=Timings(arrived_s),
            clock=self.clock,
            on_end=self.metrics.generated,
            reasoning=reasoning,
            tools=tools,
        )

    def _load(self) -> EngineLoad:
        """Of all engines together; of their steps the one that takes longest; alive if all are.

        One that is being closed waits for its step: where that hangs, so do all loads and unloads.
        """
        loads = [model.engine.load() for model in self.pool.loaded()]
        closing = [model.engine.load() for model in self.pool.closing]
        return EngineLoad(
            running=sum(load.running for load in loads),
            waiting=sum(load.waiting for load in loads),
            step_s=max((load.step_s for load in (*loads, *closing)), default=0.0),
            granted_tokens=sum(load.granted_tokens for load in loads),
            alive=all(load.alive for load in loads),
        )
