"""One step's rotary angles, and rotating by them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rotation:
    """One step's angles, the same for every layer.

    Attributes:
        cosine: [tokens, 1, dim].
        sine: [tokens, 1, dim], the first half negated.
    """

    cosine: Tensor
    sine: Tensor

    @classmethod
    def at(
        cls, positions: Tensor, frequencies: Tensor, attention_factor: float, dtype: torch.dtype
    ) -> Rotation:
        """The rotation of tokens at `positions`, [tokens]."""
        angles = positions[:, None].to(torch.float32) * frequencies
        cosine, sine = angles.cos() * attention_factor, angles.sin() * attention_factor
        return cls(
            torch.cat((cosine, cosine), -1).to(dtype)[:, None],
            torch.cat((-sine, sine), -1).to(dtype)[:, None],
        )

    def __call__(self, heads: Tensor) -> Tensor:
        """Rotate [tokens, heads, dim], whose pairs are `i` and `i + dim / 2`."""
        first, second = heads.chunk(2, -1)
        return torch.addcmul(heads * self.cosine, torch.cat((second, first), -1), self.sine)

    def rotate_(self, heads: Tensor) -> None:
        """The same in place."""
        first, second = heads.chunk(2, -1)
        swapped = torch.cat((second, first), -1)
        heads.mul_(self.cosine).addcmul_(swapped, self.sine)
