"""Attention over a paged cache on any device, in plain torch. Queries of many sequences lie end to end.

How a step is computed depends on what is in it. Sequences with one new token (decodes) are taken together, in
groups of similar length, as two batched products around a softmax: with masks, torch's fused attention is the
slower one there. A sequence with more new tokens (a chunk of its prompt) is taken alone by the fused one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.batch import Batch

_PADDING_LIMIT = 2  # a decode is read with others up to so many times its own length


class Group(Protocol):
    """Some of a step's queries, computed together."""

    @property
    def rows(self) -> Tensor | slice:
        """Their places in the batch."""
        ...

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[queries, heads, value_dim] for queries of [queries, heads, dim]."""
        ...


@dataclass(frozen=True, slots=True)
class PagedLayer:
    """One layer's part of the cache.

    Attributes:
        entries: [parts, blocks, block_tokens, dim]; a part is a head's keys or a head's values.
        kv_heads: the first so many parts are keys; the others values. Where there are no others (the latent
            of multi-head latent attention), a value is the first numbers of its key.
        value_dim: numbers of a value.
    """

    entries: Tensor
    kv_heads: int
    value_dim: int
    _slots: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Keep the view of all slots in a row, [parts, slots, dim], which every step needs."""
        object.__setattr__(self, "_slots", self.entries.flatten(1, 2))

    @property
    def slots(self) -> int:
        """Entries of a part."""
        return self._slots.shape[1]

    def write(self, slots: Tensor, entries: Tensor) -> None:
        """Put a step's entries, [tokens, parts, dim], into their slots, [tokens]."""
        self._slots.index_copy_(1, slots, entries.transpose(0, 1))

    def read(self, blocks: _Blocks) -> tuple[Tensor, Tensor]:
        """Keys and values of a group, [kv_heads, sequences, tokens, dim or value_dim]; a run isn't copied."""
        if blocks.ids is None:
            read = self._slots.narrow(1, blocks.first_slot, blocks.tokens)[:, None]
        else:
            padded = self.entries.index_select(1, blocks.ids)
            read = padded.view(len(padded), blocks.sequences, -1, padded.shape[-1])[:, :, : blocks.tokens]
        if len(read) == self.kv_heads:
            return read, read[..., : self.value_dim]
        return read[: self.kv_heads], read[self.kv_heads :]


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Where sequences of one group lie in the cache, each padded to the longest's blocks.

    Attributes:
        sequences: how many.
        tokens: entries read of each, the length of the longest.
        ids: [sequences * blocks] int64, or None where one sequence's blocks follow each other.
        first_slot: where they begin, if so.
    """

    sequences: int
    tokens: int
    ids: Tensor | None
    first_slot: int = 0


@dataclass(frozen=True, slots=True)
class _Decodes:
    """Sequences with one query each; `mask` is [kv_heads * sequences, 1, tokens], 0 or minus infinity."""

    rows: Tensor
    blocks: _Blocks
    mask: Tensor

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[sequences, heads, value_dim] for queries of [sequences, heads, dim]."""
        keys, values = layer.read(self.blocks)
        count, heads, dim = queries.shape
        kv_heads = len(keys)
        grouped = queries.view(count, kv_heads, -1, dim).transpose(0, 1).reshape(kv_heads * count, -1, dim)
        scores = torch.baddbmm(self.mask, grouped, keys.flatten(0, 1).transpose(1, 2), alpha=scale)
        weights = scores.softmax(-1, dtype=torch.float32).to(queries.dtype)
        attended = torch.bmm(weights, values.flatten(0, 1)).view(kv_heads, count, -1, layer.value_dim)
        return attended.transpose(0, 1).reshape(count, heads, -1)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The last several queries of one sequence; `mask` is [queries, tokens], None where that is causal."""

    rows: slice
    blocks: _Blocks
    mask: Tensor | None

    def attend(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """[queries, heads, value_dim] for queries of [queries, heads, dim]."""
        keys, values = layer.read(self.blocks)
        attended = functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys.transpose(0, 1),
            values.transpose(0, 1),
            attn_mask=self.mask,
            is_causal=self.mask is None,
            scale=scale,
            enable_gqa=len(keys) != queries.shape[1],
        )
        return attended[0].transpose(0, 1)


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """One step's attention, worked out once and used by every layer."""

    groups: tuple[Group, ...]

    def __call__(self, queries: Tensor, layer: PagedLayer, scale: float) -> Tensor:
        """Attend, with this step's entries already in the cache.

        Args:
            queries: [tokens, heads, dim].
            layer: what they attend to.
            scale: of the scores, before the softmax.

        Returns:
            [tokens, heads * value_dim].
        """
        if len(self.groups) == 1:  # it has every row, in order
            return self.groups[0].attend(queries, layer, scale).flatten(1)
        output = queries.new_empty(*queries.shape[:2], layer.value_dim)
        for group in self.groups:
            output[group.rows] = group.attend(queries[group.rows], layer, scale)
        return output.flatten(1)


DecodesOf = Callable[[Sequence[int], Tensor, Tensor], list[Group]]
"""Makes the groups of the sequences with one query: of its rows, [sequences, blocks] tables, and lengths."""


def plan_attention(batch: Batch, block_tokens: int, decodes_of: DecodesOf) -> AttentionPlan:
    """Work out how this step's sequences attend; reads the batch's small tensors on the host.

    That each sequence has one query is seen from the shapes: then only `decodes_of` may read.
    """
    if len(batch.token_ids) == len(batch.context_lengths):
        every = range(len(batch.token_ids))
        return AttentionPlan(tuple(decodes_of(every, batch.block_tables, batch.context_lengths)))
    starts: list[int] = batch.query_starts.tolist()
    counts = [end - start for start, end in pairwise(starts)]
    single = [i for i, count in enumerate(counts) if count == 1]
    groups: list[Group] = []
    if single:
        rows = [starts[i] for i in single]
        groups = decodes_of(rows, batch.block_tables[single], batch.context_lengths[single])
    if len(single) < len(counts):
        lengths: list[int] = batch.context_lengths.tolist()
        groups += [
            _chunk(batch, i, starts[i], count, lengths[i], block_tokens)
            for i, count in enumerate(counts)
            if count > 1
        ]
    return AttentionPlan(tuple(groups))


def batched_decodes(
    rows: Sequence[int],
    tables: Tensor,
    context_lengths: Tensor,
    *,
    block_tokens: int,
    kv_heads: int,
    dtype: torch.dtype,
) -> list[Group]:
    """Groups of similar length, in plain torch.

    Args:
        rows: the queries' places in the batch.
        tables: [sequences, blocks] int32.
        context_lengths: [sequences] int32.
        block_tokens: slots of a block.
        kv_heads: of the cache.
        dtype: of queries and cache.
    """
    lengths: list[int] = context_lengths.tolist()
    return [
        _Decodes(
            torch.tensor([rows[i] for i in group], device=tables.device),
            _blocks(tables, group, max(lengths[i] for i in group), block_tokens),
            _mask([lengths[i] for i in group], tables.device, dtype).repeat(kv_heads, 1, 1),
        )
        for group in _groups(sorted(range(len(rows)), key=lengths.__getitem__), lengths)
    ]


def _groups(single: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Sequences, given by ascending length, cut so that padding keeps its limit; each group in order."""
    groups: list[list[int]] = []
    for i in single:
        if groups and lengths[i] <= _PADDING_LIMIT * lengths[groups[-1][0]]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [sorted(group) for group in groups]


def _mask(lengths: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """[sequences, 1, longest]: minus infinity beyond each sequence's length, else 0."""
    places = torch.arange(max(lengths), device=device)
    beyond = places >= torch.tensor(lengths, device=device)[:, None, None]
    return torch.zeros(beyond.shape, dtype=dtype, device=device).masked_fill_(beyond, -torch.inf)


def _chunk(batch: Batch, i: int, start: int, count: int, length: int, block_tokens: int) -> _Chunk:
    blocks = _blocks(batch.block_tables, [i], length, block_tokens)
    mask = None
    if count < length:
        place = torch.arange(length, device=batch.token_ids.device)
        mask = place <= place[length - count :, None]
    return _Chunk(slice(start, start + count), blocks, mask)


def _blocks(block_tables: Tensor, group: list[int], tokens: int, block_tokens: int) -> _Blocks:
    count = -(-tokens // block_tokens)
    tables = block_tables[group, :count]
    if len(group) == 1:
        ids: list[int] = tables[0].tolist()
        if ids == list(range(ids[0], ids[0] + count)):
            return _Blocks(1, tokens, None, ids[0] * block_tokens)
    return _Blocks(len(group), tokens, tables.flatten().to(torch.int64))
