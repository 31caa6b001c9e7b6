"""A batcher over the model that recalls, and what it said."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from hypothesis import strategies as st

from inference.engine.batcher import Batcher, Generation, Happened
from inference.engine.blocks import BlockPool
from inference.engine.port import GenerationRequest, Token
from inference.engine.scheduler import Scheduler
from inference.engine.speculation import Speculation
from tests.engine.recalling_model import END, RecallingModel, answer

SIZE = 4
PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=30)


class Engine:
    """A batcher over a few blocks, and what it said."""

    def __init__(
        self,
        blocks: int = 12,
        step_tokens: int = 8,
        most_running: int = 4,
        speculation: Speculation | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = RecallingModel()
        self.pool = BlockPool(blocks, SIZE)
        self.scheduler = Scheduler(self.pool, step_tokens, most_running)
        cache = self.model.new_cache(blocks, SIZE)
        self.block_bytes = cache.nbytes // blocks
        self.batcher = Batcher(self.model, cache, self.scheduler, frozenset({END}), speculation, clock)
        self.said: dict[Generation, list[object]] = defaultdict(list)

    def step(self) -> bool:
        for generation, event in self.batcher.step(meanwhile=self.note):
            self.said[generation].append(event)
        return bool(self.scheduler.running or self.scheduler.waiting)

    def note(self, begun: Happened) -> None:
        for generation, event in begun:
            self.said[generation].append(event)

    def run(self) -> None:
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("the engine doesn't come to an end")

    def play(
        self, story: Iterable[tuple[GenerationRequest, int]], look: Callable[[], object] = lambda: None
    ) -> list[Generation]:
        """Add each request and go so many steps, with a `look` after each; in the end let all be answered.

        One that has one step is given up after it. Of the others, which are returned, each must have the
        model's own answer, and every block must have come back.
        """
        kept = []
        for request, steps in story:
            generation = self.batcher.add(request)
            for _ in range(steps):
                self.step()
                look()
            if steps == 1:
                self.batcher.remove(generation)
            else:
                kept.append(generation)
        self.run()
        for generation in kept:
            prompt, most = list(generation.request.prompt_ids), generation.request.max_new_tokens
            assert self.tokens(generation) == answer(prompt, most)
        assert self.pool.free == self.pool.blocks
        return kept

    def tokens(self, generation: Generation) -> list[int]:
        return [event.id for event in self.said[generation] if isinstance(event, Token)]
