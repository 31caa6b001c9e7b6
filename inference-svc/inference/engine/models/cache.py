"""The paged cache of a model: one tensor for all layers, and each layer's view of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.engine.operators.attention import PagedLayer


@dataclass(frozen=True, slots=True)
class PagedCache:
    """Keys and values of every layer.

    A head's blocks lie side by side, so that a batched product reads a gathered group without another copy;
    keys and values lie in one tensor, so that one call writes both.

    Attributes:
        entries: [layers, parts, blocks, block_tokens, dim].
        layers: each layer's part.
    """

    entries: Tensor
    layers: tuple[PagedLayer, ...]

    @classmethod
    def of_heads(
        cls, layers: int, heads: int, dim: int, blocks: int, block_tokens: int, like: Tensor
    ) -> PagedCache:
        """Keys and values of the same size, as in multi-head and grouped-query attention."""
        entries = _zeros((layers, 2 * heads, blocks, block_tokens, dim), like)
        return cls(entries, tuple(PagedLayer(layer, heads, dim) for layer in entries))

    @classmethod
    def of_latents(
        cls, layers: int, latent: int, rope_dim: int, blocks: int, block_tokens: int, like: Tensor
    ) -> PagedCache:
        """One latent and one rotated key a token, as in multi-head latent attention."""
        entries = _zeros((layers, 1, blocks, block_tokens, latent + rope_dim), like)
        return cls(entries, tuple(PagedLayer(layer, 1, latent) for layer in entries))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.entries.shape[2]

    @property
    def block_tokens(self) -> int:
        """Slots of a block."""
        return self.entries.shape[3]

    @property
    def nbytes(self) -> int:
        """All of it."""
        return self.entries.nbytes


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros on the device and in the format of `like`; a CPU's memory is taken page by page as it is used."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    untouched = np.zeros(math.prod(shape) * like.element_size(), dtype=np.uint8)
    return torch.from_numpy(untouched).view(like.dtype).view(shape)
