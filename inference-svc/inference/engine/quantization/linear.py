"""Products with four-bit and eight-bit weights, and the switch between two packings by the number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.operators.linear import Linear, in_floats
from inference.engine.quantization.blocks import BLOCK, Blocks


@dataclass(frozen=True, slots=True)
class FourBitLinear:
    """Blocks of 32 four-bit weights with a scale and an offset each (`_weight_int4pack_mm_for_cpu`).

    Rows, scales and offsets are rounded to bfloat16: of the operator's number formats the only fast one where
    there is no AVX-512.
    """

    packed: Tensor
    scales_and_zeros: Tensor
    bias: Tensor | None

    @classmethod
    def pack(cls, blocks: Blocks, bias: Tensor | None) -> FourBitLinear:
        """Pack four-bit `blocks`; the number of their rows is a multiple of 16."""
        quants = torch.from_numpy(blocks.quants.astype("int32"))
        # The operator multiplies `quant - 8`, so the middle of the sixteen steps goes into the offset.
        zeros = blocks.offsets + 8.0 * blocks.scales
        pairs = torch.stack((torch.from_numpy(blocks.scales), torch.from_numpy(zeros)), -1)
        return cls(
            torch.ops.aten._convert_weight_to_int4pack_for_cpu(quants, 1),
            pairs.transpose(0, 1).contiguous().to(torch.bfloat16),
            bias,
        )

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        return self.packed.nbytes + self.scales_and_zeros.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], in the number format of `rows`."""
        product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows.to(torch.bfloat16), self.packed, BLOCK, self.scales_and_zeros
        ).to(rows.dtype)
        return product if self.bias is None else product.add_(self.bias)


@dataclass(frozen=True, slots=True)
class EightBitLinear:
    """One scale a row of the matrix (`_weight_int8pack_mm`), rows rounded to bfloat16."""

    quants: Tensor
    scales: Tensor
    bias: Tensor | None

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None) -> EightBitLinear:
        """Round a float32 [out, in] to 255 steps a row."""
        scales = weight.abs().amax(1).clamp_(min=1e-12) / 127
        quants = (weight / scales[:, None]).round_().to(torch.int8)
        return cls(quants, scales.to(torch.bfloat16), bias)

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        return self.quants.nbytes + self.scales.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], in the number format of `rows`."""
        product: Tensor = torch.ops.aten._weight_int8pack_mm(
            rows.to(torch.bfloat16), self.quants, self.scales
        ).to(rows.dtype)
        return product if self.bias is None else product.add_(self.bias)


@dataclass(frozen=True, slots=True)
class SwitchingLinear:
    """One packing for few rows, another for more; both stay in memory."""

    few: Linear
    many: Linear
    few_rows: int

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory, of both."""
        return self.few.nbytes + self.many.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out]."""
        return self._of(rows)(rows)

    def floats(self, rows: Tensor) -> Tensor:
        """The same in float32."""
        return in_floats(self._of(rows), rows)

    def _of(self, rows: Tensor) -> Linear:
        return self.few if len(rows) <= self.few_rows else self.many
