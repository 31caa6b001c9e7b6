"""What a step of 16 sequences costs beside the model's forward: `python step.py CHECKPOINT`.

The model's forward is timed inside the engine; what is left of the time from one step to the next is the
engine's own: scheduling, laying out the batch, choosing tokens, handing them to 16 readers on an event loop.
Prints milliseconds a step, median and with every kind of sampling.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from inference.engine.batcher import Batcher
from inference.engine.options import EngineOptions
from inference.engine.port import Engine, GenerationRequest, Sampling
from loaded import loaded

STREAMS, PROMPT_TOKENS, NEW_TOKENS = 16, 64, 160
PLAIN = {
    "greedy": Sampling(),
    "sampled": Sampling(do_sample=True, temperature=0.8, top_k=50, top_p=0.95, seed=3),
    "penalised": Sampling(repetition_penalty=1.1, frequency_penalty=0.1),
}


class Timed:
    """Notes what each step took, and what the forward in it took."""

    def __init__(self) -> None:
        self.forward_s = 0.0
        self.steps: list[tuple[int, float, float]] = []
        self._before_s: float | None = None

    def watch(self) -> None:
        """From now on, in this process."""
        step, timed = Batcher.step, self

        def timed_step(batcher: Batcher) -> Any:
            model: Any = batcher._model
            if not isinstance(model, _TimedModel):
                batcher._model = _TimedModel(model, timed)  # type: ignore[assignment]
            timed.forward_s = 0.0
            happened = step(batcher)
            timed.note(len(happened))
            return happened

        Batcher.step = timed_step  # type: ignore[method-assign]

    def note(self, events: int) -> None:
        """A step has ended."""
        now_s = time.perf_counter()
        if self._before_s is not None:
            self.steps.append((events, now_s - self._before_s, self.forward_s))
        self._before_s = now_s

    def overhead_ms(self) -> float:
        """Median of the steps since the last call in which all streams had a token and nothing else."""
        full = [(whole_s - forward_s) * 1e3 for events, whole_s, forward_s in self.steps if events == STREAMS]
        self.steps.clear()
        return statistics.median(full)


class _TimedModel:
    def __init__(self, model: Any, timed: Timed) -> None:
        self._model, self._timed = model, timed
        self.spec, self.new_cache = model.spec, model.new_cache

    def forward(self, batch: Any, cache: Any) -> Any:
        start_s = time.perf_counter()
        logits = self._model.forward(batch, cache)
        self._timed.forward_s += time.perf_counter() - start_s
        return logits


async def _read(engine: Engine, request: GenerationRequest) -> None:
    async with aclosing(engine.generate(request)) as events:
        async for _ in events:
            pass


async def measure(engine: Engine, timed: Timed) -> dict[str, float]:
    """Each kind of sampling in turn."""
    taken: dict[str, float] = {}
    for name, sampling in PLAIN.items():
        prompts = [tuple(range(100 + 7 * i, 100 + 7 * i + PROMPT_TOKENS)) for i in range(STREAMS)]
        requests = [GenerationRequest(prompt, NEW_TOKENS, sampling) for prompt in prompts]
        await asyncio.gather(*(_read(engine, request) for request in requests))
        taken[name] = timed.overhead_ms()
    return taken


def main() -> None:
    """Load and measure."""
    timed = Timed()
    engine = loaded(Path(sys.argv[1]), EngineOptions(cache_tokens=STREAMS * 512))
    timed.watch()
    print(json.dumps(asyncio.run(measure(engine, timed))))
    engine.close()


if __name__ == "__main__":
    main()
