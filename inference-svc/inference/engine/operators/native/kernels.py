"""`Kernels` in C++: a layer's small steps in one call each, and attention that walks blocks where they lie.

Called through ctypes with tensors' addresses, so each method takes care that its tensors are contiguous and
of one number format, float32 or bfloat16; what isn't goes to plain torch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference.engine.batch import Batch
from inference.engine.lora.linear import AdaptedLinear, Delta, StepAdapters
from inference.engine.operators.attention import AttentionPlan, Group, PagedLayer
from inference.engine.operators.kernels import TorchKernels
from inference.engine.operators.linear import Linear
from inference.engine.operators.native.adapters import NativeAdaptedLinear
from inference.engine.operators.native.build import NativeUnavailable, load_native
from inference.engine.operators.native.linear import FORMATS
from inference.engine.operators.rotation import Rotation

_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "hadal_rms_norm": (_I, _P, _L, _P, _P, _I, _I, _F),
    "hadal_silu_mul": (_I, _P, _P, _I, _I),
    "hadal_rotate_and_write": (_I, _P, _P, _P, _P, _P, _I, _I, _I, _I, _I, _L),
    "hadal_paged_decode": (_I, _P, _P, _P, _P, _P, *[_I] * 8, _L, _L, _F),
    "hadal_add_low_rank": (_I, _P, _P, _P, _P, _I, _I, _I),
    "hadal_block_linear": (_I, _I, _I, _P, _P, _P, _I, _I, _I),
}
_WIDE_SIGNATURES = {"hadal_attend": (*[_P] * 6, *[_I] * 8, _L, _L, _F)}
"""Of what only a library for AVX-512 has."""


def native_kernels(instructions: frozenset[str]) -> NativeKernels:
    """The kernels, tried against plain torch.

    Raises:
        NativeUnavailable: they can't be built here, or don't compute what they should.
    """
    library = load_native(instructions)
    wide = hasattr(library, "hadal_attend")
    for name, arguments in (_SIGNATURES | _WIDE_SIGNATURES if wide else _SIGNATURES).items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    kernels = NativeKernels(library, wide)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        rows, weight = (
            torch.linspace(-3, 3, 192, dtype=dtype).view(2, 96),
            torch.linspace(0, 1, 96, dtype=dtype),
        )
        right = TorchKernels().rms_norm(rows, weight, 1e-5)
        if not torch.allclose(kernels.rms_norm(rows, weight, 1e-5), right, rtol=tolerance, atol=tolerance):
            raise NativeUnavailable("the built kernels differ from plain torch")
    return kernels


def _format(first: Tensor, *others: Tensor) -> int | None:
    """The place of the number format of all; None where plain torch has to compute."""
    number_format = FORMATS.get(first.dtype)
    for tensor in (first, *others):
        if tensor.dtype != first.dtype or not tensor.is_contiguous():
            return None
    return number_format


@dataclass(frozen=True, slots=True)
class NativeKernels(TorchKernels):
    """C++ for float32 and bfloat16; plain torch for the rest.

    Attributes:
        library: as it was built for this processor.
        wide: with what needs AVX-512's instructions for bfloat16.
    """

    library: Any
    wide: bool
    name = "native"

    def rms_norm(self, rows: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Over the last axis; of [rows, size] a part of each row too."""
        number_format = FORMATS.get(rows.dtype) if weight.dtype == rows.dtype else None
        size = rows.shape[-1]
        if rows.is_contiguous():
            stride = size
        elif rows.dim() == 2 and rows.stride(1) == 1:
            stride = rows.stride(0)
        else:
            number_format = None
        if number_format is None:
            return TorchKernels.rms_norm(self, rows, weight, eps)
        normal = rows.new_empty(rows.shape)
        self.library.hadal_rms_norm(
            number_format,
            rows.data_ptr(),
            stride,
            weight.data_ptr(),
            normal.data_ptr(),
            rows.numel() // size,
            size,
            eps,
        )
        return normal

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """From [rows, 2 * size] to [rows, size]."""
        number_format = _format(gate_up)
        if number_format is None:
            return TorchKernels.silu_mul(self, gate_up)
        rows, size = len(gate_up), gate_up.shape[1] // 2
        product = gate_up.new_empty(rows, size)
        self.library.hadal_silu_mul(number_format, gate_up.data_ptr(), product.data_ptr(), rows, size)
        return product

    def rotate_and_write(
        self, heads: Tensor, queries: int, rotation: Rotation, slots: Tensor, layer: PagedLayer
    ) -> None:
        """Rotate in place and write."""
        number_format = _format(heads, rotation.cosine, rotation.sine, layer.entries)
        if number_format is None:
            TorchKernels.rotate_and_write(self, heads, queries, rotation, slots, layer)
            return
        tokens, count, dim = heads.shape
        self.library.hadal_rotate_and_write(
            number_format,
            heads.data_ptr(),
            rotation.cosine.data_ptr(),
            rotation.sine.data_ptr(),
            slots.data_ptr(),
            layer.entries.data_ptr(),
            tokens,
            count,
            queries + layer.kv_heads,
            queries,
            dim,
            layer.slots,
        )

    def plan(self, batch: Batch, *, block_tokens: int, kv_heads: int, dtype: torch.dtype) -> AttentionPlan:
        """Everything in one call where the processor has the instructions; else the decodes."""
        if dtype != torch.bfloat16 or not self.wide:
            return TorchKernels.plan(self, batch, block_tokens=block_tokens, kv_heads=kv_heads, dtype=dtype)
        whole = (
            tensor.to(torch.int32).contiguous()
            for tensor in (batch.query_starts, batch.block_tables, batch.context_lengths)
        )
        return AttentionPlan((NativeAttention(self.library, *whole),))

    def adapted(self, base: Linear, deltas: Mapping[str, Delta], step: StepAdapters) -> AdaptedLinear:
        """All adapters of a step in one call."""
        if any(delta.down.dtype not in FORMATS for delta in deltas.values()):
            return TorchKernels.adapted(self, base, deltas, step)
        return NativeAdaptedLinear.of(self.library, base, deltas, step)

    def decodes(
        self,
        rows: Sequence[int],
        tables: Tensor,
        lengths: Tensor,
        *,
        block_tokens: int,
        kv_heads: int,
        dtype: torch.dtype,
    ) -> list[Group]:
        """All sequences in one call."""
        if dtype not in FORMATS:
            return TorchKernels.decodes(
                self, rows, tables, lengths, block_tokens=block_tokens, kv_heads=kv_heads, dtype=dtype
            )
        first, last = rows[0], rows[-1]
        place: Tensor | slice = (
            slice(first, last + 1) if last - first == len(rows) - 1 else torch.tensor(rows)
        )
        whole = (tensor.to(torch.int32).contiguous() for tensor in (tables, lengths))
        return [NativeDecodes(self.library, place, *whole)]


@dataclass(frozen=True, slots=True)
class NativeDecodes:
    """A group of an `AttentionPlan`: sequences with one query each; tables and lengths int32."""

    library: Any
    rows: Tensor | slice
    tables: Tensor
    lengths: Tensor

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[sequences, heads, value_dim] for queries of [sequences, heads, dim]."""
        count, heads, dim = queries.shape
        if queries.stride()[1:] != (dim, 1):
            queries = queries.contiguous()
        output = queries.new_empty(count, heads, layer.value_dim)
        shared = len(layer.entries) == layer.kv_heads
        self.library.hadal_paged_decode(
            FORMATS[queries.dtype],
            queries.data_ptr(),
            layer.entries.data_ptr(),
            self.tables.data_ptr(),
            self.lengths.data_ptr(),
            output.data_ptr(),
            count,
            heads,
            layer.kv_heads,
            0 if shared else layer.kv_heads,
            dim,
            layer.value_dim,
            self.tables.shape[1],
            layer.entries.shape[2],
            queries.stride(0),
            layer.slots,
            scale,
        )
        return output


@dataclass(frozen=True, slots=True)
class NativeAttention:
    """A whole step as one group of an `AttentionPlan`, in bfloat16; starts, tables and lengths int32."""

    library: Any
    starts: Tensor
    tables: Tensor
    lengths: Tensor
    rows = slice(None)

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[tokens, heads, value_dim] for queries of [tokens, heads, dim]."""
        count, heads, dim = queries.shape
        if queries.stride()[1:] != (dim, 1):
            queries = queries.contiguous()
        output = queries.new_empty(count, heads, layer.value_dim)
        shared = len(layer.entries) == layer.kv_heads
        self.library.hadal_attend(
            queries.data_ptr(),
            layer.entries.data_ptr(),
            self.starts.data_ptr(),
            self.tables.data_ptr(),
            self.lengths.data_ptr(),
            output.data_ptr(),
            len(self.lengths),
            heads,
            layer.kv_heads,
            0 if shared else layer.kv_heads,
            dim,
            layer.value_dim,
            self.tables.shape[1],
            layer.entries.shape[2],
            queries.stride(0),
            layer.slots,
            scale,
        )
        return output
