"""Where a model's weights come from, in the form that its layers compute with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.models.weights import CheckpointWeights
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear, Pack

Reorder = Callable[[Tensor], Tensor]
Progress = Callable[[int], None]


def ignore_progress(_weight_bytes: int) -> None:
    """For those who don't watch."""


class Embedding(Protocol):
    """A row for each token of the vocabulary."""

    def __call__(self, token_ids: Tensor) -> Tensor:
        """From [tokens] to [tokens, hidden]."""
        ...


class WeightSource(Protocol):
    """Gives a model its weights by their names in the checkpoint; each raises ValueError where it can't."""

    @property
    def kernels(self) -> Kernels:
        """What the layers compute with beside the products."""
        ...

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor."""
        ...

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A small tensor (a norm's weight, a bias) in the number format computed in."""
        ...

    def linear(
        self, names: Sequence[str], inputs: int, outputs: Sequence[int], reorder: Reorder | None = None
    ) -> Linear:
        """One product for several matrices of the same rows, their outputs side by side; biases come along.

        Args:
            names: of the modules, without `.weight`.
            inputs: numbers of a row.
            outputs: numbers that each matrix makes of it.
            reorder: permutes the rows of the weight (and the bias).
        """
        ...

    def embedding(self, name: str, tokens: int, hidden: int) -> Embedding:
        """The table of input embeddings."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the weights handed out, as they stand in memory."""
        ...


@dataclass(frozen=True, slots=True)
class TableEmbedding:
    """Looks rows up in the table's own number format and widens only those."""

    table: Tensor
    dtype: torch.dtype

    def __call__(self, token_ids: Tensor) -> Tensor:
        """From [tokens] to [tokens, hidden]."""
        return functional.embedding(token_ids, self.table).to(self.dtype)


@dataclass(slots=True)
class CheckpointSource:
    """`WeightSource` over safetensors: mapped, converted tensor by tensor, packed."""

    weights: CheckpointWeights
    pack: Pack
    dtype: torch.dtype
    device: torch.device
    kernels: Kernels
    progress: Progress = ignore_progress
    nbytes: int = field(default=0, init=False)

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A small tensor in the number format computed in."""
        tensor = self.weights.take(name, *shape).to(self.device, self.dtype)
        self._count(tensor.nbytes)
        return tensor

    def linear(
        self,
        names: Sequence[str],
        inputs: int,
        outputs: Sequence[int],
        reorder: Reorder | None = None,
    ) -> Linear:
        """One product for several matrices; `reorder` permutes the rows of their weights and biases."""
        parts = [
            self.weights.take(f"{name}.weight", size, inputs)
            for name, size in zip(names, outputs, strict=True)
        ]
        weight = _joined([part.to(self.device, self.dtype) for part in parts])
        bias = self._biases(names, outputs)
        if reorder is not None:
            weight, bias = reorder(weight), None if bias is None else reorder(bias)
        linear = self.pack(weight, bias)
        self._count(linear.nbytes)
        return linear

    def embedding(self, name: str, tokens: int, hidden: int) -> TableEmbedding:
        """The table, left in the file on a CPU."""
        table = self.weights.take(name, tokens, hidden).to(self.device)
        self._count(table.nbytes)
        return TableEmbedding(table, self.dtype)

    def _count(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self.progress(self.nbytes)

    def _biases(self, names: Sequence[str], outputs: Sequence[int]) -> Tensor | None:
        """All of the biases, or None where no matrix has one; a missing one among them is zero."""
        if not any(f"{name}.bias" in self.weights for name in names):
            return None
        return torch.cat(
            [
                self.tensor(f"{name}.bias", size)
                if f"{name}.bias" in self.weights
                else torch.zeros(size, dtype=self.dtype, device=self.device)
                for name, size in zip(names, outputs, strict=True)
            ]
        )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Rows after rows; a single part stays where it is, which may be the mapped file."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
