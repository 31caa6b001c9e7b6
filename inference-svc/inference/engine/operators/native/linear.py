"""Products in C++: with a GGUF file's own bytes, and of bfloat16 rows where AVX-512 multiplies them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.native.build import NativeUnavailable, load_native

OUTPUTS_A_BLOCK = 64  # of the packed layout (`products.cpp`)
FORMATS = {torch.float32: 0, torch.bfloat16: 1}
"""What the library calls the number formats of rows."""
_P, _I = ctypes.c_void_p, ctypes.c_int


@dataclass(frozen=True, slots=True)
class NativeLinear:
    """A weight in bfloat16, 64 outputs side by side; sums in float32.

    One layout for a single row, which waits for memory, and for a whole prompt, which waits for arithmetic.

    Attributes:
        packed: [blocks, inputs / 2, 64, 2].
        bias: [blocks * 64] float32.
        outputs: as many of the last block's outputs are filled up with zeros as it takes.
    """

    library: Any
    packed: Tensor
    bias: Tensor
    outputs: int

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None) -> NativeLinear:
        """Pack a bfloat16 [out, in].

        Raises:
            RuntimeError: this processor hasn't the instructions, there is no compiler, or `in` is odd.
        """
        outputs, inputs = weight.shape
        if weight.dtype != torch.bfloat16 or inputs % 2:
            raise RuntimeError(f"no packing for {weight.dtype} with {inputs} inputs")
        library = _library()
        blocks = -(-outputs // OUTPUTS_A_BLOCK)
        packed = weight.new_empty(blocks, inputs // 2, OUTPUTS_A_BLOCK, 2)
        library.hadal_pack(weight.contiguous().data_ptr(), packed.data_ptr(), outputs, inputs)
        filled = torch.zeros(blocks * OUTPUTS_A_BLOCK)
        if bias is not None:
            filled[:outputs] = bias
        return cls(library, packed, filled, outputs)

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        return self.packed.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], bfloat16."""
        return self._product(rows, torch.bfloat16)

    def floats(self, rows: Tensor) -> Tensor:
        """The same in float32, so that the sums aren't rounded."""
        return self._product(rows, torch.float32)

    def _product(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        rows = rows.contiguous()
        count, inputs = rows.shape
        product = rows.new_empty(count, self.outputs, dtype=dtype)
        self.library.hadal_linear(
            dtype == torch.bfloat16,
            rows.data_ptr(),
            self.packed.data_ptr(),
            self.bias.data_ptr(),
            product.data_ptr(),
            count,
            inputs,
            self.outputs,
        )
        return product


@dataclass(frozen=True, slots=True)
class NativeBlockLinear:
    """A GGUF matrix in its own bytes; rows are rounded to sixteen bits in blocks of 32.

    Attributes:
        library: the kernels.
        kind: the place of the format in `KINDS`.
        blocks: [out, bytes of a row] uint8.
        inputs: numbers of a row.
    """

    KINDS = ("Q4_0", "Q4_1", "Q8_0")

    library: Any
    kind: int
    blocks: Tensor
    inputs: int
    bias: Tensor | None

    @property
    def nbytes(self) -> int:
        """The weights' bytes in memory."""
        return self.blocks.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """From [rows, in] to [rows, out], in the number format of `rows`."""
        return self._product(rows, rows.dtype)

    def floats(self, rows: Tensor) -> Tensor:
        """The same in float32, so that the sums aren't rounded."""
        return self._product(rows, torch.float32)

    def _product(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        rows = rows.contiguous()
        product = rows.new_empty(len(rows), len(self.blocks), dtype=dtype)
        self.library.hadal_block_linear(
            FORMATS[rows.dtype],
            FORMATS[dtype],
            self.kind,
            rows.data_ptr(),
            self.blocks.data_ptr(),
            product.data_ptr(),
            len(rows),
            self.inputs,
            len(self.blocks),
        )
        return product if self.bias is None else product.add_(self.bias)


def _library() -> Any:
    try:
        library = load_native(cpu_instructions())
        library.hadal_pack.argtypes, library.hadal_pack.restype = (_P, _P, _I, _I), None
        library.hadal_linear.argtypes, library.hadal_linear.restype = (_I, _P, _P, _P, _P, _I, _I, _I), None
    except (NativeUnavailable, AttributeError) as error:
        raise RuntimeError(f"no native products here: {error}") from error
    return library
