"""A layer of experts: a few routed ones for each token, and shared ones for all (DeepSeekMoE, 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.models.config import ExpertsShape
from inference.engine.models.layers import GatedFeedForward
from inference.engine.models.routing import Router
from inference.engine.models.source import WeightSource
from inference.engine.operators.kernels import TritonKernels


class _RoutedExperts(Protocol):
    """The feed-forward networks of all routed experts."""

    def __call__(self, rows: Tensor, counts: Tensor) -> Tensor:
        """From [rows, hidden], sorted by expert, `counts` rows of each, to the same."""
        ...


@dataclass(frozen=True, slots=True)
class PackedExperts:
    """Each expert a network of its own, computed one after the other."""

    experts: tuple[GatedFeedForward, ...]

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, shape: ExpertsShape) -> PackedExperts:
        """Take the weights under `prefix`."""
        names = (f"{prefix}.experts.{index}" for index in range(shape.routed))
        return cls(tuple(GatedFeedForward.load(source, name, hidden, shape.intermediate) for name in names))

    def __call__(self, rows: Tensor, counts: Tensor) -> Tensor:
        """From [rows, hidden], sorted by expert, to the same."""
        parts = rows.split(counts.tolist())  # type: ignore[no-untyped-call]
        return torch.cat([self.experts[index](part) for index, part in enumerate(parts) if len(part)])


@dataclass(frozen=True, slots=True)
class GroupedExperts:
    """All experts in two products of the Triton kernel; [experts, out, in] each."""

    gate_up: Tensor
    down: Tensor

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, shape: ExpertsShape) -> GroupedExperts:
        """Take the weights under `prefix`."""

        def stacked(name: str, outputs: int, inputs: int) -> Tensor:
            names = (f"{prefix}.experts.{index}.{name}.weight" for index in range(shape.routed))
            return torch.stack([source.tensor(each, outputs, inputs) for each in names])

        width = shape.intermediate
        gate_up = torch.cat((stacked("gate_proj", width, hidden), stacked("up_proj", width, hidden)), 1)
        return cls(gate_up, stacked("down_proj", hidden, width))

    def __call__(self, rows: Tensor, counts: Tensor) -> Tensor:
        """From [rows, hidden], sorted by expert, to the same."""
        from inference.engine.operators.triton_experts import ExpertTiles, grouped_linear

        tiles = ExpertTiles.of(counts, len(rows))
        gate, up = grouped_linear(rows, self.gate_up, tiles).chunk(2, -1)
        return grouped_linear(functional.silu(gate) * up, self.down, tiles)


@dataclass(frozen=True, slots=True)
class Experts:
    """Routed and shared experts in the place of one feed-forward network."""

    router: Router
    routed: _RoutedExperts
    shared: GatedFeedForward | None

    @classmethod
    def load(cls, source: WeightSource, prefix: str, hidden: int, shape: ExpertsShape) -> Experts:
        """Take the weights under `prefix`."""
        bias = f"{prefix}.gate.e_score_correction_bias"
        shared = None
        if shape.shared:
            width = shape.intermediate * shape.shared
            shared = GatedFeedForward.load(source, f"{prefix}.shared_experts", hidden, width)
        routed = GroupedExperts if isinstance(source.kernels, TritonKernels) else PackedExperts
        return cls(
            Router(
                shape,
                source.tensor(f"{prefix}.gate.weight", shape.routed, hidden).to(torch.float32),
                source.tensor(bias, shape.routed).to(torch.float32) if bias in source else None,
            ),
            routed.load(source, prefix, hidden, shape),
            shared,
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """From [tokens, hidden] to the same; a sort by expert brings each one's rows side by side."""
        experts, weights = self.router(rows)
        order = experts.flatten().argsort(stable=True)
        tokens = order // experts.shape[1]
        made = self.routed(rows[tokens], self._counts(experts.flatten()))
        made = made * weights.flatten()[order, None]
        output = torch.zeros_like(rows).index_add_(0, tokens, made.to(rows.dtype))
        return output if self.shared is None else output.add_(self.shared(rows))

    def _counts(self, experts: Tensor) -> Tensor:
        """How often each expert was chosen; unlike `bincount` nothing is read by the host."""
        counts = experts.new_zeros(self.router.shape.routed)
        return counts.scatter_add_(0, experts, torch.ones_like(experts))
