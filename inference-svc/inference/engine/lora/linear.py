"""Products with adapters beside them: each sequence's rows also go through the matrices of its own adapter.

Sources: Chen et al., "Punica: Multi-Tenant LoRA Serving", 2023; Sheng et al., "S-LoRA", 2023. The base
product is computed once for all rows of a step, in whatever packing it has; then for each adapter in the step
`(x A) B` of its rows is added. A step without adapters does nothing more than before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.batch import AdapterRows
from inference.engine.operators.linear import Linear


@dataclass(slots=True)
class StepAdapters:
    """Which rows of the step that is being computed belong to which adapter; its model sets it.

    It stands beside the layers rather than going through all of them: only their products want to know.
    """

    rows: Sequence[AdapterRows] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The adapted outputs of one module among those that a product computes together.

    Attributes:
        columns: of the product.
        ranks: of the narrow rows.
        up: [rank, outputs], scaled.
    """

    columns: slice
    ranks: slice
    up: Tensor


@dataclass(frozen=True, slots=True)
class Delta:
    """What one adapter adds to a product; `down` is [in, ranks of all parts]."""

    down: Tensor
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Its matrices' bytes in memory."""
        return self.down.nbytes + sum(part.up.nbytes for part in self.parts)

    def add(self, product: Tensor, rows: Tensor, place: slice | Tensor) -> None:
        """Add to the product's rows at `place` what these rows of its input give."""
        narrow = rows[place] @ self.down
        for part in self.parts:
            change = narrow[:, part.ranks]
            if isinstance(place, slice):
                product[place, part.columns].addmm_(change, part.up)
            else:
                product[:, part.columns].index_add_(0, place, torch.mm(change, part.up))


@dataclass(frozen=True, slots=True)
class AdaptedLinear:
    """A product and what the adapters add to it, by their names."""

    base: Linear
    deltas: Mapping[str, Delta]
    step: StepAdapters

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory, the adapters' among them."""
        return self.base.nbytes + sum(delta.nbytes for delta in self.deltas.values())

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out]."""
        product = self.base(rows)
        for of_adapter in self.step.rows:
            if delta := self.deltas.get(of_adapter.adapter):
                delta.add(product, rows, of_adapter.rows)
        return product
