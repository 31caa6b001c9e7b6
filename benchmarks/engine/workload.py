"""The work that every peer does, and the form in which it reports: one JSON line.

A peer is a script of this folder, run as `python <peer>.py MODEL WORKLOAD`, in its own environment. It loads
the model, makes two tokens to warm up, then measures `rounds` times.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Workload:
    """One sequence alone, then several of mixed length together; greedy, and no token ends an answer.

    Attributes:
        lengths: of the prompts of the mixed part, in tokens.
        new_tokens: made for each prompt.
        tokens: the smallest vocabulary of the models, from which prompts are drawn.
        threads: that a peer computes with.
        rounds: that are measured.
    """

    lengths: tuple[int, ...]
    new_tokens: int
    tokens: int
    threads: int
    rounds: int

    @classmethod
    def parse(cls, text: str) -> Workload:
        """From `str(workload)`."""
        fields = json.loads(text)
        return cls(**{**fields, "lengths": tuple(fields["lengths"])})

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def prompts(self) -> list[list[int]]:
        """The same for every peer."""
        chooser = random.Random(5)
        return [[chooser.randrange(5, self.tokens) for _ in range(length)] for length in self.lengths]

    def measure(self, generate: Callable[[list[list[int]], int], float]) -> None:
        """Print tokens a second: of one sequence while it decodes, and of all with their prompts.

        Args:
            generate: makes so many new tokens for each prompt and returns the seconds from the first one
                computed to the end.
        """
        prompts = self.prompts()
        generate(prompts[:1], 2)
        single = [self.new_tokens / generate([prompts[0][:8]], self.new_tokens) for _ in range(self.rounds)]
        mixed: list[float] = []
        for _ in range(self.rounds):
            start = time.perf_counter()
            generate(prompts, self.new_tokens)
            mixed.append(len(prompts) * self.new_tokens / (time.perf_counter() - start))
        print(json.dumps({"single": single, "mixed": mixed}), flush=True)
