"""Which experts a token goes to, and with which weights.

Sources: "DeepSeek-V2", 2024, section 2.1.2 (softmax, groups scored by their best expert); "DeepSeek-V3",
2024, section 2.1.2 (sigmoid, a bias that balances the load, groups scored by their two best).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.models.config import ExpertsShape


@dataclass(frozen=True, slots=True)
class Router:
    """Chooses `shape.per_token` of `shape.routed` experts for each token.

    Attributes:
        weight: [experts, hidden] float32.
        bias: [experts] float32, added for the choice but not to the weights; None in V2.
    """

    shape: ExpertsShape
    weight: Tensor
    bias: Tensor | None

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Experts [tokens, per_token] int64, and their weights, likewise, float32."""
        shape = self.shape
        logits = functional.linear(rows.to(torch.float32), self.weight)
        scores = logits.sigmoid() if shape.scoring == "sigmoid" else logits.softmax(-1)
        choice = scores if self.bias is None else scores + self.bias
        if shape.groups_per_token < shape.groups:
            choice = self._within_best_groups(choice)
        experts = choice.topk(shape.per_token, sorted=False).indices
        weights = scores.gather(1, experts)
        if shape.normalise:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return experts, weights * shape.scale

    def _within_best_groups(self, choice: Tensor) -> Tensor:
        """`choice` with minus infinity in all groups but a token's best."""
        shape = self.shape
        grouped = choice.view(len(choice), shape.groups, -1)
        scores = grouped.topk(shape.group_score_experts).values.sum(-1)
        best = scores.topk(shape.groups_per_token, sorted=False).indices
        refused = torch.ones_like(scores, dtype=torch.bool).scatter_(1, best, value=False)
        return grouped.masked_fill(refused[..., None], -torch.inf).flatten(1)
