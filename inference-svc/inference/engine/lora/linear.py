"""Products with adapters beside them: each sequence's rows also go through the matrices of its own adapter.

Sources: Chen et al., "Punica: Multi-Tenant LoRA Serving", 2023; Sheng et al., "S-LoRA", 2023. The base
product is computed once for all rows of a step, in whatever packing it has; then for each adapter in the step
`(x A) B` of its rows, which the scheduler has put side by side, is added: here one adapter after the other,
in `operators/native/adapters.cpp` all of them in one call. A step without adapters does
nothing more than before.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from inference.engine.batch import AdapterRows
from inference.engine.operators.linear import Linear

_RUN = struct.Struct("=3i")


class StepAdapters:
    """Which rows of the step that is being computed belong to which adapter; its model sets it.

    It stands beside the layers rather than going through all of them: only their products want to know.

    Attributes:
        names: of all adapters that the model has.
        rows: of the present step.
        runs: the same for C++, three int32 a run: its adapter's place in `names`, its first row, how many.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self.rows: Sequence[AdapterRows] = ()
        self.runs = b""

    def begin(self, rows: Sequence[AdapterRows]) -> None:
        """The next step is one with these."""
        self.rows = rows
        self.runs = b"".join(
            _RUN.pack(self.names.index(run.adapter), run.rows.start, run.rows.stop - run.rows.start)
            for run in rows
        )


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
    """What one adapter adds to a product; `down` is [ranks of all parts, in]."""

    down: Tensor
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Its matrices' bytes in memory."""
        return self.down.nbytes + sum(part.up.nbytes for part in self.parts)

    def add(self, product: Tensor, rows: Tensor) -> None:
        """Add to a product's rows what these rows of its input give."""
        narrow = functional.linear(rows, self.down)
        for part in self.parts:
            product[:, part.columns].addmm_(narrow[:, part.ranks], part.up)


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
        for run in self.step.rows:
            if delta := self.deltas.get(run.adapter):
                delta.add(product[run.rows], rows[run.rows])
        return product
