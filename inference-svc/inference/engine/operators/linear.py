"""Products with a weight matrix that never changes, packed once for the processor at hand.

Every packing is a class with the same face. Those over private operators of torch are only used where
`choose_packing` (packing.py) has seen them work; `PlainLinear` works everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

HALF_LARGEST = 65_504.0  # of float16, IEEE 754
HALF_ERROR = 2.0**-25  # half of float16's smallest step: what rounding a small number to it may cost
_HALF_OUTPUTS_A_BLOCK = 32  # of FBGEMM's layout with AVX-512, as measured; 16 with AVX2
_HALF_INPUTS_A_BLOCK = 512


class Linear(Protocol):
    """`x @ weight.T + bias`."""

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        ...

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], in the number format of `rows`."""
        ...


@runtime_checkable
class FloatLinear(Linear, Protocol):
    """One that can leave its sums as they are: logits in bfloat16 would be equal where they are only near."""

    def floats(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], float32 whatever the number format of `rows`."""
        ...


def in_floats(linear: Linear, rows: Tensor) -> Tensor:
    """The product in float32, not rounded on the way where the packing allows that."""
    return linear.floats(rows) if isinstance(linear, FloatLinear) else linear(rows).to(torch.float32)


Pack = Callable[[Tensor, Tensor | None], Linear]
"""From a weight [out, in] and a bias [out] or None to the packed form."""


@dataclass(frozen=True, slots=True)
class PlainLinear:
    """`torch.nn.functional.linear` itself."""

    weight: Tensor
    bias: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        return self.weight.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out]."""
        return functional.linear(rows, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class OneDnnLinear:
    """The weight in oneDNN's blocked layout, which `F.linear` would make anew at every call.

    Raises `RuntimeError` at packing where oneDNN has no kernel for the number format (bfloat16 on AVX2).
    """

    packed: Any
    bias: Tensor | None
    nbytes: int

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None) -> OneDnnLinear:
        """Reorder [out, in] for products of any number of rows."""
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()), bias, weight.nbytes)

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return product


@dataclass(frozen=True, slots=True)
class HalfWeightLinear:
    """The weight in float16, rows and sums in float32 (FBGEMM): half the bytes to read of float32.

    A weight that was bfloat16 loses nothing but digits below 2**-25: float16 has three bits more. The layout
    is of whole blocks: 576 inputs take the room of 1,024.
    """

    packed: Any
    bias: Tensor | None
    nbytes: int

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None) -> HalfWeightLinear:
        """Pack a float32 [out, in] whose every number float16 can hold (`fits_half`)."""
        packed = torch.ops.quantized.linear_prepack_fp16(weight.float().contiguous(), None)
        return cls(packed, bias, half_weight_bytes(*weight.shape))

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], float32."""
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, self.packed)
        return product if self.bias is None else product.add_(self.bias)


def half_weight_bytes(outputs: int, inputs: int) -> int:
    """Of a weight in `HalfWeightLinear`, filled up to whole blocks; with AVX2 the last may take half."""
    output_blocks, input_blocks = -(-outputs // _HALF_OUTPUTS_A_BLOCK), -(-inputs // _HALF_INPUTS_A_BLOCK)
    return output_blocks * _HALF_OUTPUTS_A_BLOCK * input_blocks * _HALF_INPUTS_A_BLOCK * 2


def fits_half(weight: Tensor) -> bool:
    """Whether float16 holds every number of `weight`, but for digits below 2**-25."""
    if float(weight.abs().max()) > HALF_LARGEST:
        return False
    return float((weight.to(torch.float16).to(torch.float32) - weight).abs().max()) <= HALF_ERROR
