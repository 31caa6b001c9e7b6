"""The paged cache of a model: one tensor for all layers' keys, and one for their values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.operators.attention import PagedLayer


@dataclass(frozen=True, slots=True)
class PagedCache:
    """Keys and values of every layer.

    A head's blocks lie side by side, so that a batched product reads a gathered group without another copy.

    Attributes:
        keys: [layers, kv_heads, blocks, block_tokens, dim].
        values: likewise with `value_dim`; None where values are parts of the keys.
        value_dim: numbers of a value.
    """

    keys: Tensor
    values: Tensor | None
    value_dim: int

    @classmethod
    def of_heads(
        cls, layers: int, heads: int, dim: int, blocks: int, block_tokens: int, like: Tensor
    ) -> PagedCache:
        """Keys and values of the same size, as in multi-head and grouped-query attention."""
        shape = (layers, heads, blocks, block_tokens, dim)
        return cls(like.new_zeros(shape), like.new_zeros(shape), dim)

    @classmethod
    def of_latents(
        cls, layers: int, latent: int, rope_dim: int, blocks: int, block_tokens: int, like: Tensor
    ) -> PagedCache:
        """One latent and one rotated key a token, as in multi-head latent attention."""
        return cls(like.new_zeros((layers, 1, blocks, block_tokens, latent + rope_dim)), None, latent)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.keys.shape[2]

    @property
    def block_tokens(self) -> int:
        """Slots of a block."""
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        """All of its tensors together."""
        return self.keys.nbytes + (self.values.nbytes if self.values is not None else 0)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of keys and values."""
        return self.keys.dtype

    def layer(self, index: int) -> PagedLayer:
        """A layer's part."""
        values = self.values[index] if self.values is not None else None
        return PagedLayer(self.keys[index], values, self.value_dim)
