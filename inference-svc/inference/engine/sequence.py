"""One request between its first token and its last: what is known, what is computed, where it lies."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.engine.blocks import NOTHING, Prefix
from inference.engine.port import GenerationRequest


@dataclass(slots=True, eq=False)
class Sequence:
    """A request's tokens.

    Attributes:
        request: what was asked.
        tokens: the prompt and what was generated so far.
        computed: how many of them have an entry in the cache.
        blocks: where those lie, in order.
        prefix: the name of the remembered blocks among them, `remembered` in number.
        cached: how many of the prompt's tokens were found in the cache at the first admission.
        behind: while it waits for another to compute their common beginning, that one, and its tokens.
    """

    request: GenerationRequest
    tokens: list[int] = field(init=False)
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    prefix: Prefix = NOTHING
    remembered: int = 0
    cached: int | None = None
    behind: tuple[Sequence, int] | None = None

    def __post_init__(self) -> None:
        self.tokens = list(self.request.prompt_ids)

    @property
    def missing(self) -> int:
        """Tokens without an entry in the cache; one is what a decode step computes."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        """How many tokens were generated."""
        return len(self.tokens) - len(self.request.prompt_ids)
