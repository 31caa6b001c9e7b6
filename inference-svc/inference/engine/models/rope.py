"""Rotary position embedding (Su et al., RoFormer, 2021) and the ways to stretch it.

`linear`: positions divided by a factor. `llama3`: Llama 3.1's per-wavelength interpolation. `yarn`: Peng et
al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023, sections 3.2 to 3.4; with
DeepSeek's two `mscale` terms. Formulas and parameter names are those of transformers, so that both agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotation of `dim` numbers of a head, `dim / 2` frequencies.

    Attributes:
        kind: one of `KINDS`.
        context_tokens: `max_position_embeddings`, where the parameters name no original length.
        parameters: the checkpoint's `rope_parameters`.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("default", "linear", "llama3", "yarn")

    kind: str
    dim: int
    theta: float
    context_tokens: int
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attention_factor(self) -> float:
        """What cosine and sine are multiplied with; 1 but for YaRN."""
        if self.kind != "yarn":
            return 1.0
        if (given := self.parameters.get("attention_factor")) is not None:
            return float(given)
        mscale, all_dim = self.parameters.get("mscale"), self.parameters.get("mscale_all_dim")
        if mscale and all_dim:
            return _yarn_scale(self._factor, mscale) / _yarn_scale(self._factor, all_dim)
        return _yarn_scale(self._factor, 1.0)

    @property
    def all_dim_scale(self) -> float:
        """DeepSeek's `mscale_all_dim` term: its square goes onto the softmax scale."""
        all_dim = self.parameters.get("mscale_all_dim")
        return _yarn_scale(self._factor, all_dim) if self.kind != "default" and all_dim else 1.0

    def frequencies(self) -> Tensor:
        """Radians a position, [dim / 2] float32."""
        plain = 1.0 / self.theta ** (torch.arange(0, self.dim, 2, dtype=torch.float32) / self.dim)
        match self.kind:
            case "linear":
                return plain / self._factor
            case "llama3":
                return self._llama3(plain)
            case "yarn":
                return self._yarn(plain)
            case _:
                return plain

    @property
    def _original_tokens(self) -> int:
        return int(self.parameters.get("original_max_position_embeddings") or self.context_tokens)

    @property
    def _factor(self) -> float:
        factor = self.parameters.get("factor")
        return float(factor) if factor is not None else self.context_tokens / self._original_tokens

    def _llama3(self, plain: Tensor) -> Tensor:
        low, high = (float(self.parameters[f"{end}_freq_factor"]) for end in ("low", "high"))
        turns = self._original_tokens * plain / (2 * math.pi)  # of each frequency over the original context
        smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0)
        return (1 - smooth) * plain / self._factor + smooth * plain

    def _yarn(self, plain: Tensor) -> Tensor:
        low = self._dimension_of(float(self.parameters.get("beta_fast") or 32))
        high = self._dimension_of(float(self.parameters.get("beta_slow") or 1))
        if self.parameters.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.dim - 1)
        width = high - low or 0.001
        interpolated = ((torch.arange(self.dim // 2, dtype=torch.float32) - low) / width).clamp(0.0, 1.0)
        return interpolated * plain / self._factor + (1 - interpolated) * plain

    def _dimension_of(self, turns: float) -> float:
        """The dimension that turns so many times over the original context."""
        return self.dim * math.log(self._original_tokens / (turns * 2 * math.pi)) / (2 * math.log(self.theta))


def _yarn_scale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def halves_first(weight: Tensor, heads: int, rotated: int) -> Tensor:
    """Reorder a projection's rows from interleaved pairs to halves, so that `Rotation` fits.

    Queries and keys are reordered alike, so their products stay the same.

    Args:
        weight: [heads * head_dim, ...], of whose heads the last `rotated` rows are rotated.
        heads: how many.
        rotated: the number of rotated rows of a head.
    """
    by_head = weight.view(heads, -1, *weight.shape[1:])
    plain, pairs = by_head[:, :-rotated], by_head[:, -rotated:]
    halves = torch.cat((pairs[:, 0::2], pairs[:, 1::2]), 1)
    return torch.cat((plain, halves), 1).flatten(0, 1)
