"""Which products with a GGUF's blocks are computed packed, and which on unpacked weights: measured at start.

Few rows wait for memory, so the packed form wins, having a quarter of the bytes; many rows wait for
arithmetic, and the packed operators unpack again for each of them. Where the border lies differs between
processors and shapes, so each shape is timed once, a few milliseconds, and both forms are kept where both
have their use. (FBGEMM's eight-bit products, whose rows get one scale for all, double the perplexity of the
default model: they are not among the candidates.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import HALF_LARGEST, HalfWeightLinear, Linear, half_weight_bytes
from inference.engine.operators.native.kernels import NativeKernels
from inference.engine.operators.native.linear import NativeBlockLinear
from inference.engine.operators.packing import FLOAT16_WEIGHTS, Packing
from inference.engine.quantization.blocks import FOUR_BITS, Bytes, take_apart
from inference.engine.quantization.linear import EightBitLinear, FourBitLinear, SwitchingLinear

MODES = ("auto", "unpacked", "packed")
"""`auto`: what is faster; `unpacked`: exact to float32; `packed`: the least memory."""

_ROW_COUNTS = (1, 2, 4, 8, 16, 32)
_ROUNDS = 3
_EVICTING_NUMBERS = 16_000_000  # 64 MB: more than the caches, in which a model's weights don't stay either
_OUTPUTS_MULTIPLE = 16  # of torch's four-bit operator
_LARGEST_ERROR = (
    2e-2  # of a product, against the unpacked weights': rows are rounded, operators may be broken
)
_REFUSALS = (RuntimeError, AttributeError, NotImplementedError)
Clock = Callable[[], float]


@dataclass(slots=True)
class BlockPacking:
    """Packs the matrices of one model.

    Attributes:
        plain: the packing of unpacked weights.
        kernels: the native ones multiply a file's bytes as they are; else torch's packed operators do.
        mode: one of `MODES`.
        clock: seconds.
        dtype: of the rows.
        few_rows: by (outputs, inputs): up to how many rows the packed form was the faster one.
        evicting: written before each product that is timed, so that the weights come from memory.
    """

    plain: Packing
    kernels: Kernels
    mode: str = "auto"
    clock: Clock = time.perf_counter
    dtype: torch.dtype = torch.float32
    few_rows: dict[tuple[int, int], int] = field(default_factory=dict)
    evicting: Tensor = field(default_factory=lambda: torch.zeros(_EVICTING_NUMBERS))

    def __post_init__(self) -> None:
        """Check the mode.

        Raises:
            ValueError: there is no such mode.
        """
        if self.mode not in MODES:
            raise ValueError(f"there is no quantization mode {self.mode!r}; there are: {', '.join(MODES)}")

    def pack(self, kind: str, data: Bytes, bias: Tensor | None) -> Linear:
        """The fastest (or smallest) form of a matrix that works on this machine.

        Args:
            kind: GGUF's name of the blocks, one of `FOUR_BITS` or `EIGHT_BITS`.
            data: [out, bytes of a row].
            bias: [out], or None.
        """
        weight = torch.from_numpy(take_apart(kind, data).floats())
        packed = None if self.mode == "unpacked" else self._packed(kind, data, weight, bias)
        if packed is None:
            return self.plain.pack(weight.to(self.dtype), bias)
        if self.mode == "packed":
            return packed
        unpacked = self._unpacked(weight, bias)
        outputs, inputs = weight.shape
        if (outputs, inputs) not in self.few_rows:
            self.few_rows[outputs, inputs] = self._measure(packed, unpacked, inputs)
        few = self.few_rows[outputs, inputs]
        return SwitchingLinear(packed, unpacked, few) if few else unpacked

    def __str__(self) -> str:
        """What was chosen, for the line printed at start."""
        borders = ", ".join(
            f"{outputs}x{inputs}: {rows}" for (outputs, inputs), rows in self.few_rows.items()
        )
        return f"{self.mode}; rows up to which packed weights are faster: {borders or 'not measured'}"

    def _packed(self, kind: str, data: Bytes, weight: Tensor, bias: Tensor | None) -> Linear | None:
        """The packed form; None where no operator takes it, or one doesn't compute what it should."""
        try:
            linear = self._pack_by_kind(kind, data, weight, bias)
            if linear is None:
                return None
            rows = torch.randn(1, weight.shape[1]).to(self.dtype)
            right = functional.linear(rows.float(), weight, None if bias is None else bias.float())
            error = float((linear(rows) - right).norm() / right.norm())
        except _REFUSALS:
            return None
        return linear if error <= _LARGEST_ERROR else None

    def _pack_by_kind(self, kind: str, data: Bytes, weight: Tensor, bias: Tensor | None) -> Linear | None:
        if isinstance(self.kernels, NativeKernels):
            blocks = torch.from_numpy(data.copy())
            place = NativeBlockLinear.KINDS.index(kind)
            return NativeBlockLinear(self.kernels.library, place, blocks, weight.shape[1], bias)
        if kind not in FOUR_BITS:
            return EightBitLinear.pack(weight, bias)
        return None if len(weight) % _OUTPUTS_MULTIPLE else FourBitLinear.pack(take_apart(kind, data), bias)

    def _unpacked(self, weight: Tensor, bias: Tensor | None) -> Linear:
        """In float16 where that packing works: it loses far less than the blocks have lost before."""
        half = self.plain.name == FLOAT16_WEIGHTS and half_weight_bytes(*weight.shape) < weight.nbytes
        half = half and float(weight.abs().max()) <= HALF_LARGEST
        return (HalfWeightLinear.pack if half else self.plain.pack)(weight.to(self.dtype), bias)

    def _measure(self, packed: Linear, unpacked: Linear, inputs: int) -> int:
        """The largest count of rows up to which `packed` is the faster one; 0 where it never is."""
        few = 0
        for count in _ROW_COUNTS:
            rows = torch.randn(count, inputs).to(self.dtype)
            if self._fastest_s(packed, rows) >= self._fastest_s(unpacked, rows):
                break
            few = count
        return few

    def _fastest_s(self, linear: Linear, rows: Tensor) -> float:
        times: list[float] = []
        for _ in range(_ROUNDS):
            self.evicting.add_(1.0)
            start = self.clock()
            linear(rows)
            times.append(self.clock() - start)
        return min(times)
