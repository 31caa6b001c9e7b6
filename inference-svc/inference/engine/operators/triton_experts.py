"""Products of rows with the matrices of their experts, as one Triton kernel.

Rows are sorted by expert, and each program multiplies one tile of rows of one expert with one tile of its
matrix. Which tile belongs to which expert is worked out on the device: the host needn't wait for the router.
`grouped_linear_reference` is the same in plain torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS_TILE = 16
_OUTPUTS_TILE = 64
_INPUTS_TILE = 32


@triton.jit  # type: ignore[untyped-decorator]
def _grouped_linear(  # type: ignore[no-untyped-def]
    rows,
    weights,
    output,
    tile_expert,
    tile_start,
    expert_end,
    experts,
    inputs,
    outputs,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    expert = tl.load(tile_expert + tl.program_id(0))
    if expert < experts:
        row = tl.load(tile_start + tl.program_id(0)) + tl.arange(0, ROWS)
        column = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
        own_rows = (row < tl.load(expert_end + expert))[:, None]
        own_columns = (column < outputs)[None, :]
        matrix = weights + expert * inputs * outputs
        total = tl.zeros([ROWS, OUTPUTS], tl.float32)
        for start in range(0, inputs, INPUTS):
            place = start + tl.arange(0, INPUTS)
            there = place < inputs
            left = tl.load(rows + row[:, None] * inputs + place, mask=own_rows & there, other=0.0)
            right = tl.load(
                matrix + column[None, :] * inputs + place[:, None],
                mask=own_columns & there[:, None],
                other=0.0,
            )
            total += tl.dot(left, right, input_precision="ieee")
        where = output + row[:, None] * outputs + column[None, :]
        tl.store(where, total.to(output.dtype.element_ty), mask=own_rows & own_columns)


@dataclass(frozen=True, slots=True)
class ExpertTiles:
    """Which rows each program takes; programs beyond the last tile have the expert `len(ends)`.

    Attributes:
        experts: [programs] int64.
        starts: [programs] int64, the first row.
        ends: [experts] int64, where each expert's rows end.
    """

    experts: Tensor
    starts: Tensor
    ends: Tensor

    @classmethod
    def of(cls, counts: Tensor, rows: int) -> ExpertTiles:
        """For so many rows of each expert, [experts] int64, `rows` in all; nothing is read by the host."""
        ends = counts.cumsum(0)
        tiles = (counts + _ROWS_TILE - 1) // _ROWS_TILE
        tile_ends = tiles.cumsum(0)
        programs = torch.arange(rows // _ROWS_TILE + len(counts), device=counts.device)
        experts = torch.searchsorted(tile_ends, programs, right=True)
        known = experts.clamp(max=len(counts) - 1)
        within = programs - (tile_ends - tiles)[known]
        return cls(experts, (ends - counts)[known] + within * _ROWS_TILE, ends)


def grouped_linear(rows: Tensor, weights: Tensor, tiles: ExpertTiles) -> Tensor:
    """[rows, out] of [rows, in], sorted by expert, and weights of [experts, out, in]."""
    experts, outputs, inputs = weights.shape
    output = rows.new_empty(len(rows), outputs)
    _grouped_linear[len(tiles.experts), triton.cdiv(outputs, _OUTPUTS_TILE)](
        rows.contiguous(),
        weights,
        output,
        tiles.experts,
        tiles.starts,
        tiles.ends,
        experts,
        inputs,
        outputs,
        ROWS=_ROWS_TILE,
        OUTPUTS=_OUTPUTS_TILE,
        INPUTS=_INPUTS_TILE,
    )
    return output


def grouped_linear_reference(rows: Tensor, weights: Tensor, counts: list[int]) -> Tensor:
    """The same in plain torch."""
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return torch.cat(
        [
            rows[start : start + count] @ weight.T
            for start, count, weight in zip(starts, counts, weights, strict=True)
        ]
    )
