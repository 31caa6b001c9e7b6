"""What a step of 16 sequences costs beside the model's forward: `python step.py CHECKPOINT`.

The model's forward is timed inside the engine; what is left of the time from one step to the next is the
engine's own: scheduling, laying out the batch, choosing tokens, handing them to 16 readers on an event loop.
The readers run while the model computes, and take something from it: so every other round nobody reads, and
the whole time of a step is compared with a forward that nobody disturbed, too. Prints milliseconds, medians,
for every kind of sampling, as one line of JSON: `{kind: [beside the forward, beside an undisturbed one]}`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from inference.engine.batcher import Batcher
from inference.engine.batching_engine import BatchingEngine
from inference.engine.options import EngineOptions
from inference.engine.port import Engine, GenerationRequest, Sampling, Token
from loaded import loaded

STREAMS, PROMPT_TOKENS, NEW_TOKENS, ROUNDS = 16, 64, 160, 3
KINDS = {
    "greedy": Sampling(),
    "sampled": Sampling(do_sample=True, temperature=0.8, top_k=50, top_p=0.95, seed=3),
    "penalised": Sampling(repetition_penalty=1.1, frequency_penalty=0.1),
}


@dataclass(slots=True)
class Times:
    """Of the steps in which every stream had a token and nothing else, in milliseconds."""

    beside: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    """Without steps that verified guesses."""
    forward: list[float] = field(default_factory=list)
    """The same steps'."""


class Watch:
    """Notes what each step of this process took, and what the forward in it took."""

    def __init__(self) -> None:
        self.times = Times()
        self.is_read = True
        self._forward_s, self._rows, self._before_s = 0.0, 0, 0.0

    def begin(self) -> None:
        """From now on."""
        step, tell, watch = Batcher.step, BatchingEngine._tell, self

        def timed_step(batcher: Batcher, **arguments: Any) -> Any:
            if not isinstance(batcher._model, _TimedModel):
                batcher._model = _TimedModel(batcher._model, watch)
            happened = step(batcher, **arguments)
            watch._note(len(happened))
            return happened

        def tell_if_read(engine: Any, begun: Any = ()) -> None:
            if not watch.is_read:
                engine._untold = [told for told in engine._untold if not _is_passed_over(told[1])]
            tell(engine, begun)

        Batcher.step, BatchingEngine._tell = timed_step, tell_if_read  # type: ignore[method-assign]

    def forward(self, model: Any, batch: Any, cache: Any) -> Any:
        """Compute one."""
        start_s = time.perf_counter()
        logits = model.forward(batch, cache)
        self._forward_s, self._rows = time.perf_counter() - start_s, len(batch.token_ids)
        return logits

    def _note(self, events: int) -> None:
        now_s = time.perf_counter()
        whole_s, self._before_s = now_s - self._before_s, now_s
        if events != STREAMS:
            return
        self.times.beside.append((whole_s - self._forward_s) * 1e3)
        if self._rows == STREAMS:
            self.times.whole.append(whole_s * 1e3)
            self.times.forward.append(self._forward_s * 1e3)


class _TimedModel:
    def __init__(self, model: Any, watch: Watch) -> None:
        self._model, self._watch = model, watch
        self.spec, self.new_cache = model.spec, model.new_cache

    def forward(self, batch: Any, cache: Any) -> Any:
        return self._watch.forward(self._model, batch, cache)


def _is_passed_over(message: object) -> bool:
    """Of a round in which nobody reads: all but each stream's end, or its failure."""
    return isinstance(message, Token) and message.finish_reason is None


async def _read(engine: Engine, request: GenerationRequest) -> None:
    async with aclosing(engine.generate(request)) as events:
        async for _ in events:
            pass


async def measure(engine: Engine, watch: Watch) -> dict[str, tuple[float, float]]:
    """Each kind of sampling in turn."""
    taken: dict[str, tuple[float, float]] = {}
    for name, sampling in KINDS.items():
        prompts = [tuple(range(100 + 7 * i, 100 + 7 * i + PROMPT_TOKENS)) for i in range(STREAMS)]
        requests = [GenerationRequest(prompt, NEW_TOKENS, sampling) for prompt in prompts]
        read, unread = Times(), Times()
        for _ in range(ROUNDS):
            for watch.is_read, watch.times in ((True, read), (False, unread)):
                await asyncio.gather(*(_read(engine, request) for request in requests))
        taken[name] = (
            statistics.median(read.beside),
            statistics.median(read.whole) - statistics.median(unread.forward),
        )
    return taken


def main() -> None:
    """Load and measure."""
    watch = Watch()
    engine = loaded(Path(sys.argv[1]), EngineOptions(cache_tokens=STREAMS * 512))
    watch.begin()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service has
        print(json.dumps(runner.run(measure(engine, watch))))
    engine.close()


if __name__ == "__main__":
    main()
