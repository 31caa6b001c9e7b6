"""What the models share: normalisation, the gated feed-forward network, the way in and out of the layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.models.source import Embedding, WeightSource
from inference.engine.operators.linear import Linear


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019; in float32 whatever the rows are.

    Written out, because on a CPU torch's own takes three times as long for one row.
    """

    weight: Tensor
    eps: Tensor
    size: Tensor

    @classmethod
    def of(cls, weight: Tensor, eps: float) -> RmsNorm:
        """The norm with a weight of [size]."""
        return cls(
            weight, *(torch.tensor(float(number), device=weight.device) for number in (eps, len(weight)))
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """Normalise the last axis."""
        wide = rows.to(torch.float32)
        squares = torch.linalg.vecdot(wide, wide).unsqueeze(-1)
        normal = wide * torch.addcdiv(self.eps, squares, self.size).rsqrt_()
        return normal.to(rows.dtype).mul_(self.weight)


@dataclass(frozen=True, slots=True)
class GatedFeedForward:
    """`down(silu(gate(x)) * up(x))` (Shazeer, "GLU Variants Improve Transformer", 2020)."""

    gate_up: Linear
    down: Linear

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, intermediate: int) -> GatedFeedForward:
        """Take the three matrices under `prefix`."""
        return cls(
            source.linear([f"{prefix}.gate_proj", f"{prefix}.up_proj"], hidden, [intermediate, intermediate]),
            source.linear([f"{prefix}.down_proj"], intermediate, [hidden]),
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, hidden] to the same."""
        gate, up = self.gate_up(rows).chunk(2, -1)
        return self.down(functional.silu(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class Ends:
    """Token ids to rows, and rows to logits."""

    embedding: Embedding
    norm: RmsNorm
    head: Linear

    @classmethod
    def load(cls, source: WeightSource, tokens: int, hidden: int, norm_eps: float, *, tied: bool) -> Ends:
        """Take embeddings, last norm and output matrix; `tied` takes the embeddings as the latter."""
        return cls(
            source.embedding("model.embed_tokens.weight", tokens, hidden),
            RmsNorm.of(source.tensor("model.norm.weight", hidden), norm_eps),
            source.linear(["model.embed_tokens" if tied else "lm_head"], hidden, [tokens]),
        )

    def logits(self, rows: Tensor, wanted: Tensor) -> Tensor:
        """[wanted, vocabulary] float32 of the rows whose indices are wanted."""
        return self.head(self.norm(rows.index_select(0, wanted))).to(torch.float32)
