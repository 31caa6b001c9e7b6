"""The model that this process serves, and the door in front of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inference.chat_template import ChatTemplate
from inference.engine.grammar import GrammarCompiler
from inference.engine.port import Engine, EngineLoad, GenerationRequest
from inference.errors import OverloadedError, UnhealthyError
from inference.generation import Clock, Generation, Timings
from inference.limits import Limits
from inference.metrics import Metrics
from inference.reasoning import ReasoningSplit
from inference.tokenizer import TextTokenizer
from inference.tool_calls import ToolCallReader


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Everything that serving one model takes. `revision` is the hub's commit, where there is one."""

    name: str
    revision: str | None
    engine: Engine
    tokenizer: TextTokenizer
    chat_template: ChatTemplate | None
    limits: Limits
    grammars: GrammarCompiler


HUNG_STEP_S = 300.0
"""A step takes well under a second, on a slow processor with a large model a minute: this one never ends."""


class Serving:
    """Lets requests in while the model is ready and there is room; knows when the last one has left."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.metrics = Metrics(self._load)
        self._model: LoadedModel | None = None
        self._unready: str | None = "loading"
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def ready(self, model: LoadedModel) -> None:
        """The model has loaded; a process that is already going away stays closed."""
        self._model = model
        if self._unready == "loading":
            self._unready = None

    def drain(self) -> None:
        """Take nothing new from now on."""
        self._unready = "draining"

    async def idle(self) -> None:
        """Wait until nothing is being served."""
        await self._idle.wait()

    def model(self) -> LoadedModel:
        """The model, for requests that don't generate.

        Raises:
            UnhealthyError: with the reason `loading` or `draining`.
        """
        if self._unready is not None or self._model is None:
            raise UnhealthyError(f"unhealthy: {self._unready}")
        return self._model

    def check_progress(self) -> None:
        """See that the engine moves.

        Raises:
            UnhealthyError: a step hangs; only a restart helps.
        """
        step_s = self._load().step_s
        if step_s > HUNG_STEP_S:
            raise UnhealthyError(f"unhealthy: a step of the engine hangs since {step_s:.0f} s")

    @contextmanager
    def admit(self, requests: int = 1) -> Iterator[LoadedModel]:
        """Take a place for each request until the block ends.

        Raises:
            UnhealthyError: not ready.
            OverloadedError: `MAX_CONCURRENT_REQUESTS` would be exceeded.
        """
        model = self.model()
        if self._in_flight + requests > model.limits.max_concurrent_requests:
            raise OverloadedError("Model is overloaded")
        self._in_flight += requests
        self._idle.clear()
        try:
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
            on_end=self.metrics.success,
            reasoning=reasoning,
            tools=tools,
        )

    def _load(self) -> EngineLoad:
        return self._model.engine.load() if self._model else EngineLoad(0, 0)
