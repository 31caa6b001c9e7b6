"""Products with adapters beside them, of all adapters of a step in one call to C++."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from inference.engine.lora.linear import AdaptedLinear, Delta, StepAdapters
from inference.engine.operators.linear import Linear
from inference.engine.operators.native.linear import FORMATS

_PART = struct.Struct("@P4i")
_DELTA = struct.Struct("@PP2i")
"""`Part` and `Delta` of adapters.cpp."""


@dataclass(frozen=True, slots=True)
class NativeAdaptedLinear(AdaptedLinear):
    """For rows in float32 or bfloat16, on a CPU.

    Attributes:
        library: the kernels.
        table: a `Delta` for each of the model's adapters, which points into `parts`.
        parts: of each adapter that changes this product.
    """

    library: Any
    table: bytes
    parts: tuple[Any, ...]

    @classmethod
    def of(
        cls, library: Any, base: Linear, deltas: Mapping[str, Delta], step: StepAdapters
    ) -> NativeAdaptedLinear:
        """Beside a product."""
        parts, table = [], b""
        for name in step.names:
            delta = deltas.get(name)
            if delta is None:
                table += bytes(_DELTA.size)
                continue
            packed = b"".join(
                _PART.pack(
                    part.up.data_ptr(),
                    part.columns.start,
                    part.columns.stop - part.columns.start,
                    part.ranks.start,
                    part.ranks.stop - part.ranks.start,
                )
                for part in delta.parts
            )
            parts.append(ctypes.create_string_buffer(packed, len(packed)))
            table += _DELTA.pack(
                delta.down.data_ptr(), ctypes.addressof(parts[-1]), len(delta.down), len(delta.parts)
            )
        return cls(base, deltas, step, library, table, tuple(parts))

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out]."""
        product = self.base(rows)
        if not self.step.rows:
            return product
        rows, product = rows.contiguous(), product.contiguous()
        self.library.hadal_add_low_rank(
            FORMATS[rows.dtype],
            rows.data_ptr(),
            product.data_ptr(),
            self.table,
            self.step.runs,
            len(self.step.rows),
            rows.shape[1],
            product.shape[1],
        )
        return product
