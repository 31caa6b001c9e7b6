"""Which products with a GGUF's blocks are computed packed, and which on unpacked weights: measured at start.

Few rows wait for memory, so the packed form wins, having a quarter of the bytes; many rows wait for
arithmetic, and the packed operators unpack again for each of them. Where the border lies differs between
processors and shapes, so each shape is timed once, a few milliseconds, and both forms are kept where both
have their use. (FBGEMM's eight-bit products, whose rows are rounded to eight bits too, are the fastest of all
and not among the candidates: they double the perplexity of the default model.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.engine.operators.linear import HALF_LARGEST, HalfWeightLinear, Linear
from inference.engine.operators.packing import FLOAT16_WEIGHTS, Packing, flaw_of
from inference.engine.quantization.blocks import BLOCK, Blocks
from inference.engine.quantization.linear import EightBitLinear, FourBitLinear, SwitchingLinear

MODES = ("auto", "unpacked", "packed")
"""`auto`: what is faster; `unpacked`: exact to float32; `packed`: the least memory."""

_ROW_COUNTS = (1, 2, 4, 8)
_ROUNDS = 3
_EVICTING_NUMBERS = 16_000_000  # 64 MB: more than the caches, in which a model's weights don't stay either
_OUTPUTS_MULTIPLE = 16  # of the four-bit operator
_RIGHT = 2e-2  # bfloat16 rows
Clock = Callable[[], float]


@dataclass(slots=True)
class BlockPacking:
    """Packs the matrices of one model.

    Attributes:
        plain: the packing of unpacked weights.
        mode: one of `MODES`.
        clock: seconds.
        few_rows: by (outputs, inputs): up to how many rows the packed form was the faster one.
        evicting: written before each product that is timed, so that the weights come from memory.
    """

    plain: Packing
    mode: str = "auto"
    clock: Clock = time.perf_counter
    few_rows: dict[tuple[int, int], int] = field(default_factory=dict)
    evicting: Tensor = field(default_factory=lambda: torch.zeros(_EVICTING_NUMBERS))

    def __post_init__(self) -> None:
        """Check the mode.

        Raises:
            ValueError: there is no such mode.
        """
        if self.mode not in MODES:
            raise ValueError(f"there is no quantization mode {self.mode!r}; there are: {', '.join(MODES)}")

    def pack(self, blocks: Blocks, bias: Tensor | None, *, four_bits: bool) -> Linear:
        """The fastest (or smallest) form of a matrix that works on this machine."""
        if self.mode == "unpacked" or not _is_right(four_bits=four_bits):
            return self.plain.pack(torch.from_numpy(blocks.floats()), bias)
        packed = _packed(blocks, bias, four_bits=four_bits)
        if packed is None or self.mode == "packed":
            return packed or self.plain.pack(torch.from_numpy(blocks.floats()), bias)
        unpacked = self._unpack(torch.from_numpy(blocks.floats()), bias)
        outputs, inputs = blocks.quants.shape
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

    def _unpack(self, weight: Tensor, bias: Tensor | None) -> Linear:
        """In float16 where that packing works: it loses far less than the blocks have lost before."""
        half = self.plain.name == FLOAT16_WEIGHTS and float(weight.abs().max()) <= HALF_LARGEST
        return (HalfWeightLinear.pack if half else self.plain.pack)(weight, bias)

    def _measure(self, packed: Linear, unpacked: Linear, inputs: int) -> int:
        """The largest count of rows up to which `packed` is the faster one; 0 where it never is."""
        few = 0
        for count in _ROW_COUNTS:
            rows = torch.randn(count, inputs)
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


def _packed(blocks: Blocks, bias: Tensor | None, *, four_bits: bool) -> Linear | None:
    """The packed form; None for a shape that the operator doesn't take."""
    if not four_bits:
        return EightBitLinear.pack(torch.from_numpy(blocks.floats()), bias)
    return None if len(blocks.quants) % _OUTPUTS_MULTIPLE else FourBitLinear.pack(blocks, bias)


def _is_right(*, four_bits: bool) -> bool:
    """Whether the packed operator is there and multiplies as it should: it is private to torch."""
    return flaw_of(_trial(four_bits=four_bits), torch.float32, torch.device("cpu"), _RIGHT) is None


def _trial(*, four_bits: bool) -> Callable[[Tensor, Tensor | None], Linear]:
    """A pack that rounds its own matrix to blocks first, so that only the operator can differ."""

    def pack(weight: Tensor, bias: Tensor | None) -> Linear:
        if not four_bits:
            return EightBitLinear.pack(weight, bias)
        by_block = weight.view(len(weight), -1, BLOCK)
        scales = torch.full(by_block.shape[:2], 0.5)
        offsets = by_block.amin(-1)
        quants = ((by_block - offsets[..., None]) / scales[..., None]).round().clamp(0, 15)
        blocks = Blocks(quants.flatten(1).to(torch.uint8).numpy(), scales.numpy(), offsets.numpy())
        weight.copy_(torch.from_numpy(blocks.floats()))
        return FourBitLinear.pack(blocks, bias)

    return pack
