"""Attention of sequences with one query each over a paged cache, as one Triton kernel.

One program computes some heads of one sequence: it walks the sequence's blocks with a running softmax (Dao et
al., "FlashAttention", 2022; Kwon et al., "PagedAttention", 2023), so nothing is gathered. The same kernel
serves grouped-query attention and multi-head latent attention: a key is `A` numbers and `B` more (the rotated
ones of MLA, else none); a value is a part of its own, or the key's first `A` numbers, read once for both.

`AttentionPlan` computes the same in plain torch (attention.py); the tests hold one against the other, in
Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.engine.operators.attention import PagedLayer

_SMALLEST_TILE = 16  # of a product in Triton
_LARGEST_HEADS_TILE = 16


@triton.jit
def _fold_in(scores, value, highest, total, attended):  # type: ignore[no-untyped-def]
    higher = tl.maximum(highest, tl.max(scores, 1))
    fade = tl.exp(highest - higher)
    weights = tl.exp(scores - higher[:, None])
    product = tl.dot(weights.to(value.dtype), value, input_precision="ieee")
    return higher, total * fade + tl.sum(weights, 1), attended * fade[:, None] + product


@triton.jit  # type: ignore[untyped-decorator]
def _paged_decode(  # type: ignore[no-untyped-def]
    queries,
    entries,
    tables,
    lengths,
    output,
    scale,
    table_stride,
    part_stride,
    block_stride,
    token_stride,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEADS_TILE: tl.constexpr,
    A: tl.constexpr,
    A_TILE: tl.constexpr,
    B: tl.constexpr,
    B_TILE: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
    SHARED: tl.constexpr,
):
    sequence, kv_head = tl.program_id(0), tl.program_id(1)
    in_group = tl.program_id(2) * HEADS_TILE + tl.arange(0, HEADS_TILE)
    head = sequence * KV_HEADS * GROUP + kv_head * GROUP + in_group
    real = (in_group < GROUP)[:, None]
    a, b = tl.arange(0, A_TILE), tl.arange(0, B_TILE)
    query_a = tl.load(queries + head[:, None] * (A + B) + a, mask=real & (a < A), other=0.0)
    query_b = tl.load(queries + head[:, None] * (A + B) + A + b, mask=real & (b < B), other=0.0)
    length = tl.load(lengths + sequence)
    highest = tl.full([HEADS_TILE], float("-inf"), tl.float32)
    total = tl.zeros([HEADS_TILE], tl.float32)
    attended = tl.zeros([HEADS_TILE, A_TILE], tl.float32)
    offset = tl.arange(0, BLOCK_TOKENS)
    for index in range(tl.cdiv(length, BLOCK_TOKENS)):
        block = tl.load(tables + sequence * table_stride + index).to(tl.int64)
        there = (index * BLOCK_TOKENS + offset < length)[:, None]
        own = entries + kv_head * part_stride + block * block_stride + offset[:, None] * token_stride
        key_a = tl.load(own + a, mask=there & (a < A), other=0.0)
        scores = tl.dot(query_a, tl.trans(key_a), input_precision="ieee")
        if B > 0:
            key_b = tl.load(own + A + b, mask=there & (b < B), other=0.0)
            scores += tl.dot(query_b, tl.trans(key_b), input_precision="ieee")
        scores = tl.where(tl.trans(there), scores * scale, float("-inf"))
        if SHARED:
            value = key_a
        else:
            value = tl.load(own + KV_HEADS * part_stride + a, mask=there & (a < A), other=0.0)
        highest, total, attended = _fold_in(scores, value, highest, total, attended)
    attended = attended / total[:, None]
    tl.store(output + head[:, None] * A + a, attended.to(output.dtype.element_ty), mask=real & (a < A))


@dataclass(frozen=True, slots=True)
class PagedDecodes:
    """A group of an `AttentionPlan`: sequences with one query each.

    Attributes:
        rows: the queries' places in the batch, [sequences] int64, or where they are consecutive the run.
        tables: [sequences, blocks] int32.
        lengths: [sequences] int32.
    """

    rows: Tensor | slice
    tables: Tensor
    lengths: Tensor

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[sequences, heads, value_dim] for queries of [sequences, heads, dim]."""
        count, heads, dim = queries.shape
        group = heads // layer.kv_heads
        heads_tile = min(_tile(group), _LARGEST_HEADS_TILE)
        output = queries.new_empty(count, heads, layer.value_dim)
        rotated = dim - layer.value_dim
        strides = layer.entries.stride()
        _paged_decode[count, layer.kv_heads, triton.cdiv(group, heads_tile)](
            queries.contiguous(),
            layer.entries,
            self.tables,
            self.lengths,
            output,
            scale,
            self.tables.stride(0),
            *strides[:3],
            KV_HEADS=layer.kv_heads,
            GROUP=group,
            HEADS_TILE=heads_tile,
            A=layer.value_dim,
            A_TILE=_tile(layer.value_dim),
            B=rotated,
            B_TILE=_tile(rotated),
            BLOCK_TOKENS=layer.entries.shape[2],
            SHARED=len(layer.entries) == layer.kv_heads,
        )
        return output


def _tile(size: int) -> int:
    return max(_SMALLEST_TILE, int(triton.next_power_of_2(max(size, 1))))


def paged_decodes(rows: Sequence[int], tables: Tensor, lengths: Tensor) -> PagedDecodes:
    """The group of the sequences whose tables and lengths these are, with queries at `rows`."""
    first, last = rows[0], rows[-1]
    is_run = last - first == len(rows) - 1
    place = slice(first, last + 1) if is_run else torch.tensor(list(rows), device=tables.device)
    return PagedDecodes(place, tables.contiguous(), lengths.contiguous())
