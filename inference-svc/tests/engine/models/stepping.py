"""Runs sequences through a model as a scheduler would, in steps of mixed chunks, over blocks in any order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from inference.engine.batch import Batch, CausalModel, KVCache
from inference.engine.step import adapter_rows

BLOCK_TOKENS = 16


class Stepper:
    """Sequences in one cache. `step` gives some of them more tokens and returns their last tokens' logits."""

    def __init__(self, model: CausalModel, blocks: int = 64, *, shuffled: bool = True) -> None:
        self.model = model
        self.cache: KVCache = model.new_cache(blocks, BLOCK_TOKENS)
        self._free = list(range(blocks))[::-1]
        if shuffled:
            random.Random(7).shuffle(self._free)
        self._tables: dict[str, list[int]] = {}
        self._lengths: dict[str, int] = {}

    def step(
        self,
        more: Mapping[str, Sequence[int]],
        *,
        every_row: bool = False,
        adapters: Mapping[str, str] | None = None,
    ) -> Tensor:
        """Logits [sequences, vocabulary], or of every token given; sequences in the order of `more`.

        Those named in `adapters` have one.
        """
        positions: list[int] = []
        slots: list[int] = []
        starts = [0]
        for name, ids in more.items():
            table, length = self._tables.setdefault(name, []), self._lengths.get(name, 0)
            while len(table) * BLOCK_TOKENS < length + len(ids):
                table.append(self._free.pop())
            own = range(length, length + len(ids))
            positions += own
            slots += [table[place // BLOCK_TOKENS] * BLOCK_TOKENS + place % BLOCK_TOKENS for place in own]
            starts.append(starts[-1] + len(ids))
            self._lengths[name] = length + len(ids)
        tables = [self._tables[name] for name in more]
        widest = max(map(len, tables))
        device = self.model.spec.device
        batch = Batch(
            token_ids=torch.tensor([token for ids in more.values() for token in ids], device=device),
            positions=torch.tensor(positions, device=device),
            slots=torch.tensor(slots, device=device),
            query_starts=torch.tensor(starts, dtype=torch.int32, device=device),
            context_lengths=torch.tensor(
                [self._lengths[name] for name in more], dtype=torch.int32, device=device
            ),
            block_tables=torch.tensor(
                [table + [0] * (widest - len(table)) for table in tables], dtype=torch.int32, device=device
            ),
            logit_rows=torch.arange(starts[-1]) if every_row else torch.tensor(starts[1:], device=device) - 1,
            adapters=adapter_rows([(adapters or {}).get(name) for name in more], starts),
        )
        return self.model.forward(batch, self.cache)
