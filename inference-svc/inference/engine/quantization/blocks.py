"""GGUF's blocks of 32 weights taken apart: whole numbers, scales and offsets, as arrays.

Layout (ggml, `ggml-common.h`): Q4_0 is a float16 scale and 16 bytes, Q4_1 a float16 scale, a float16 minimum
and 16 bytes, whose low halves are the first 16 weights and whose high halves the others; Q8_0 is a float16
scale and 32 signed bytes. Row by row, 32 weights along the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 32  # weights of a block
FOUR_BITS = ("Q4_0", "Q4_1")
EIGHT_BITS = ("Q8_0",)
_BLOCK_BYTES = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix in blocks: weight = `quants * scales + offsets`.

    Attributes:
        quants: [rows, inputs], 0 to 15 (uint8) or -127 to 127 (int8).
        scales: [rows, inputs / 32].
        offsets: likewise.
    """

    quants: np.ndarray[Any, Any]
    scales: Floats
    offsets: Floats

    def floats(self) -> Floats:
        """The weights themselves, [rows, inputs]."""
        spread = self.quants.reshape(*self.scales.shape, BLOCK).astype(np.float32)
        values: Floats = spread * self.scales[..., None] + self.offsets[..., None]
        return values.reshape(self.quants.shape)


def take_apart(kind: str, data: Bytes) -> Blocks:
    """The blocks of a tensor.

    Args:
        kind: one of `FOUR_BITS` or `EIGHT_BITS`.
        data: [rows, bytes of a row].
    """
    blocks = data.reshape(len(data), -1, _BLOCK_BYTES[kind])
    scales = _halves(blocks, 0)
    if kind == "Q8_0":
        quants = blocks[..., 2:].view(np.int8).reshape(len(data), -1)
        return Blocks(quants, scales, np.zeros_like(scales))
    pairs = blocks[..., -BLOCK // 2 :]
    nibbles = np.concatenate((pairs & 0x0F, pairs >> 4), axis=-1).reshape(len(data), -1)
    return Blocks(nibbles, scales, _halves(blocks, 2) if kind == "Q4_1" else -8.0 * scales)


def _halves(blocks: Bytes, start: int) -> Floats:
    """The float16 at a byte of every block, widened."""
    values: Floats = blocks[..., start : start + 2].copy().view(np.float16)[..., 0].astype(np.float32)
    return values
