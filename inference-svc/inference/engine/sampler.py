"""What the choices of one request depend on beside the scores, and the places at which they are made."""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.drawing import random_bits
from inference.engine.penalties import Penalties
from inference.engine.port import GenerationRequest, Hold

Chosen = tuple[list[int], list[float], list[float]]
"""Of each place: the token, its log probability, and by how much scores are more than log probabilities."""


class Sampler:
    """Of one request. The same seed and scores: the same choices."""

    def __init__(self, request: GenerationRequest) -> None:
        self.sampling = request.sampling
        self.top_n_tokens = request.top_n_tokens
        self.constraint = request.grammar.start() if request.grammar else None
        self.penalties = Penalties.of(request)
        self.taken = 0
        self.is_plain = not self.sampling.do_sample and self.constraint is None and self.penalties is None

    def take(self, token_id: int) -> None:
        """Go on after a token that was chosen."""
        self.taken += 1
        if self.constraint is not None:
            self.constraint.take(token_id)
        if self.penalties is not None:
            self.penalties.take(token_id)


@dataclass(slots=True)
class Place:
    """Where a token is chosen: after those that the sampler has taken, and after these drafts."""

    sampler: Sampler
    drafts: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """How many tokens of the answer are before it."""
        return self.sampler.taken + len(self.drafts)

    @property
    def seed(self) -> int:
        """Of this place alone, whatever is computed with it."""
        return random_bits(self.sampler.sampling.seed, self.number)

    @property
    def hold(self) -> Hold | None:
        """What a grammar holds the token to."""
        return self.sampler.constraint.hold(self.drafts) if self.sampler.constraint else None
