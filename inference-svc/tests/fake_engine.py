"""An engine that says what it is told to say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from inference.engine.port import (
    EngineDescription,
    EngineEvent,
    EngineLoad,
    FinishReason,
    GenerationRequest,
    Prefilled,
    Scheduled,
    Token,
    TokenLogprob,
)
from inference.engine.step_counts import StepCounts
from inference.errors import GenerationFailedError


@dataclass
class FakeEngine:
    """Yields `script` as tokens and then `end_id`, within the request's limit.

    With a `gate`, every token takes one permit, so that a test decides when it comes. `fail_after` tokens it
    fails; `stop_short` ends the stream without a last token. It makes `step_tokens` a step. `may_close` is
    cleared to hold its end up.
    """

    script: list[int]
    end_id: int
    gate: asyncio.Semaphore | None = None
    fail_after: int | None = None
    stop_short: bool = False
    requests: list[GenerationRequest] = field(default_factory=list)
    produced: int = 0
    step_s: float = 0.0
    alive: bool = True
    is_closed: bool = False
    may_close: threading.Event = field(default_factory=threading.Event)
    itself: FakeEngine | None = None
    cached_tokens: int = 0
    step_tokens: int = 1
    counts: StepCounts = field(default_factory=StepCounts)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    description: EngineDescription = field(
        default_factory=lambda: EngineDescription(
            "fake", "torch.float32", "cpu", 64, "it is a fake", weight_bytes=8, cache_bytes=2
        )
    )

    def __post_init__(self) -> None:
        self.may_close.set()

    @property
    def steps(self) -> StepCounts:
        return self.counts

    def load(self) -> EngineLoad:
        return EngineLoad(running=len(self.requests), waiting=0, step_s=self.step_s, alive=self.alive)

    def close(self) -> None:
        assert self.may_close.wait(10)
        self.is_closed = True

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        self.requests.append(request)
        try:
            yield Scheduled(self.cached_tokens)
            self.started.set()
            if request.prefill_logprobs:
                yield Prefilled((None, *(-1.0 for _ in request.prompt_ids[1:])))
            for count, token_id in enumerate([*self.script, self.end_id], start=1):
                if self.gate:
                    await self.gate.acquire()
                if self.fail_after is not None and count > self.fail_after:
                    raise GenerationFailedError("the model could not compute this request")
                if self.stop_short and token_id == self.end_id:
                    return
                self.produced += 1
                top = tuple(TokenLogprob(other, -0.5 - other) for other in range(request.top_n_tokens))
                reason = self._reason(token_id, count, request)
                speculated = (count - 1) % self.step_tokens > 0
                yield Token(token_id, -0.5, top, reason, speculated)
                if reason:
                    return
        finally:
            self.closed.set()

    def _reason(self, token_id: int, count: int, request: GenerationRequest) -> FinishReason | None:
        if token_id == self.end_id:
            return FinishReason.EOS_TOKEN
        return FinishReason.LENGTH if count == request.max_new_tokens else None
