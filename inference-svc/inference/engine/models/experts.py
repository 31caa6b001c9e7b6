"""A layer of experts: a few routed ones for each token, and shared ones for all (DeepSeekMoE, 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.models.config import ExpertsShape
from inference.engine.models.layers import GatedFeedForward
from inference.engine.models.routing import Router
from inference.engine.models.source import WeightSource


@dataclass(frozen=True, slots=True)
class Experts:
    """Routed and shared experts in the place of one feed-forward network."""

    router: Router
    routed: tuple[GatedFeedForward, ...]
    shared: GatedFeedForward | None

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, shape: ExpertsShape) -> Experts:
        """Take the weights under `prefix`."""
        bias = f"{prefix}.gate.e_score_correction_bias"
        shared = None
        if shape.shared:
            width = shape.intermediate * shape.shared
            shared = GatedFeedForward.load(source, f"{prefix}.shared_experts", hidden, width)
        return cls(
            Router(
                shape,
                source.tensor(f"{prefix}.gate.weight", shape.routed, hidden).to(torch.float32),
                source.tensor(bias, shape.routed).to(torch.float32) if bias in source else None,
            ),
            tuple(
                GatedFeedForward.load(source, f"{prefix}.experts.{index}", hidden, shape.intermediate)
                for index in range(shape.routed)
            ),
            shared,
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """From [tokens, hidden] to the same."""
        experts, weights = self.router(rows)
        output = self._route(rows, experts, weights)
        return output if self.shared is None else output.add_(self.shared(rows))

    def _route(self, rows: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """Each expert once over all of its tokens, which a sort by expert has brought side by side."""
        order = experts.flatten().argsort(stable=True)
        tokens = order // experts.shape[1]
        counts: list[int] = experts.flatten().bincount(minlength=len(self.routed)).tolist()
        parts = rows[tokens].split(counts)  # type: ignore[no-untyped-call]
        made = torch.cat([self.routed[index](part) for index, part in enumerate(parts) if len(part)])
        made *= weights.flatten()[order, None]
        return torch.zeros_like(rows).index_add_(0, tokens, made.to(rows.dtype))
