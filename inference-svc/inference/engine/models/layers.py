"""What the models share: normalisation, the gated feed-forward network, the way in and out of the layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inference.engine.models.source import Embedding, WeightSource
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear, in_floats


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019."""

    weight: Tensor
    eps: float
    kernels: Kernels

    @classmethod
    def load(cls, source: WeightSource, name: str, size: int, eps: float) -> RmsNorm:
        """Take the weight of the module `name`."""
        return cls(source.tensor(f"{name}.weight", size), eps, source.kernels)

    def __call__(self, rows: Tensor) -> Tensor:
        """Normalise the last axis."""
        return self.kernels.rms_norm(rows, self.weight, self.eps)


@dataclass(frozen=True, slots=True)
class GatedFeedForward:
    """`down(silu(gate(x)) * up(x))` (Shazeer, "GLU Variants Improve Transformer", 2020)."""

    gate_up: Linear
    down: Linear
    kernels: Kernels

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, intermediate: int) -> GatedFeedForward:
        """Take the three matrices under `prefix`."""
        return cls(
            source.linear([f"{prefix}.gate_proj", f"{prefix}.up_proj"], hidden, [intermediate, intermediate]),
            source.linear([f"{prefix}.down_proj"], intermediate, [hidden]),
            source.kernels,
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, hidden] to the same."""
        return self.down(self.kernels.silu_mul(self.gate_up(rows)))


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
            RmsNorm.load(source, "model.norm", hidden, norm_eps),
            source.linear(["model.embed_tokens" if tied else "lm_head"], hidden, [tokens]),
        )

    def logits(self, rows: Tensor, wanted: Tensor) -> Tensor:
        """[wanted, vocabulary] float32 of the rows whose indices are wanted."""
        return in_floats(self.head, self.norm(rows.index_select(0, wanted)))
