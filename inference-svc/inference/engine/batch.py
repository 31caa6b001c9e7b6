"""What a step asks of a model: the tokens of several sequences laid end to end, and where their cache lies.

The layout is that of paged attention (Kwon et al., "Efficient Memory Management for Large Language Model
Serving with PagedAttention", 2023): the cache is cut into blocks of `block_tokens` slots, and a sequence
names its blocks in a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AdapterRows:
    """A run of a step's rows that belong to sequences with one adapter."""

    adapter: str
    rows: slice


@dataclass(frozen=True, slots=True)
class Batch:
    """One step. A sequence's tokens are consecutive; what it has in the cache from before comes first.

    Attributes:
        token_ids: [tokens] int64.
        positions: [tokens] int64, from 0 in each sequence.
        slots: [tokens] int64: where each token's cache entry goes, `block * block_tokens + offset`.
        query_starts: [sequences + 1] int32, cumulative.
        context_lengths: [sequences] int32: tokens with a cache entry after this step.
        block_tables: [sequences, blocks of the longest] int32, padded with 0.
        logit_rows: [rows] int64: the tokens whose logits are wanted.
        adapters: the runs of rows that have one; the other rows have none.
    """

    token_ids: Tensor
    positions: Tensor
    slots: Tensor
    query_starts: Tensor
    context_lengths: Tensor
    block_tables: Tensor
    logit_rows: Tensor
    adapters: tuple[AdapterRows, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the scheduler and `/info` know of a model. Sizes in bytes are those in memory.

    `weight_bytes` are the model's own; its adapters have `adapter_bytes` beside them.
    """

    architecture: str
    layers: int
    cache_bytes_per_token: int
    vocabulary_tokens: int
    context_tokens: int
    dtype: torch.dtype
    device: torch.device
    weight_bytes: int
    kernels: str
    adapters: frozenset[str] = frozenset()
    adapter_bytes: int = 0


class KVCache(Protocol):
    """The memory of a model's attention: `blocks` blocks of `block_tokens` slots each."""

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        ...

    @property
    def block_tokens(self) -> int:
        """Slots of a block."""
        ...

    @property
    def nbytes(self) -> int:
        """All of its tensors together."""
        ...


class CausalModel(Protocol):
    """Computes the logits of a step; keeps no state but the weights."""

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        ...

    def new_cache(self, blocks: int, block_tokens: int) -> KVCache:
        """An empty cache.

        Raises:
            torch.OutOfMemoryError: the device hasn't that much.
        """
        ...

    def forward(self, batch: Batch, cache: KVCache) -> Tensor:
        """Write the step's cache entries and return logits, [rows, vocabulary] float32."""
        ...
