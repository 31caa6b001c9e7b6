"""A model whose next token follows from every token before it, read back from the cache."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.batch import Batch, KVCache, ModelSpec

VOCABULARY = 50
END = 7
ADAPTERS = ("a", "b")


@dataclass
class TokenCache:
    """What each slot was given, as token and adapter in one number; -1 where nothing was written yet."""

    blocks: int
    block_tokens: int
    slots: Tensor

    @property
    def nbytes(self) -> int:
        return self.slots.nbytes


class RecallingModel:
    """Fails in a step that has the token `poison`; says the same again and again with a `period`."""

    def __init__(self, poison: int | None = None) -> None:
        self.poison = poison
        self.period: int | None = None
        self.steps: list[int] = []
        self.spec = ModelSpec(
            "Recalling",
            1,
            8,
            VOCABULARY,
            1000,
            torch.float32,
            torch.device("cpu"),
            0,
            "none",
            frozenset(ADAPTERS),
        )

    def new_cache(self, blocks: int, block_tokens: int) -> TokenCache:
        return TokenCache(blocks, block_tokens, torch.full((blocks * block_tokens,), -1))

    def forward(self, batch: Batch, cache: KVCache) -> Tensor:
        assert isinstance(cache, TokenCache)
        if self.poison in batch.token_ids.tolist():
            raise RuntimeError("poisoned")
        self.steps.append(len(batch.token_ids))
        adapters = torch.zeros_like(batch.token_ids)
        assert len({own.adapter for own in batch.adapters}) == len(batch.adapters)  # side by side
        for own in batch.adapters:
            adapters[own.rows] = 1 + ADAPTERS.index(own.adapter)
        cache.slots[batch.slots] = batch.token_ids + VOCABULARY * adapters
        starts = batch.query_starts.tolist()
        rows = torch.zeros(len(batch.token_ids), VOCABULARY)
        for sequence, (start, end) in enumerate(itertools.pairwise(starts)):
            length = int(batch.context_lengths[sequence])
            places = torch.arange(length)
            blocks = batch.block_tables[sequence][places // cache.block_tokens].long()
            entries = cache.slots[blocks * cache.block_tokens + places % cache.block_tokens]
            assert set((entries // VOCABULARY).tolist()) == set(adapters[start:end].tolist())
            context = (entries % VOCABULARY).tolist()
            assert batch.positions[start:end].tolist() == list(range(length - (end - start), length))
            for row in range(start, end):
                seen = context[: length - (end - 1 - row)]
                rows[row, following(seen) if self.period is None else 10 + len(seen) % self.period] = 5.0
        return rows[batch.logit_rows]


def following(context: list[int]) -> int:
    """The token after `context`."""
    assert -1 not in context
    return sum((place + 3) * token for place, token in enumerate(context, 1)) % VOCABULARY


def answer(prompt: list[int], most: int) -> list[int]:
    """What the model says after `prompt`."""
    context = list(prompt)
    while len(context) - len(prompt) < most and (len(context) == len(prompt) or context[-1] != END):
        context.append(following(context))
    return context[len(prompt) :]
