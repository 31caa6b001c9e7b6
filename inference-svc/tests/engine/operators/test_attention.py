"""The plan against attention written out for one token at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from inference.engine.batch import Batch
from inference.engine.operators.attention import PagedLayer
from inference.engine.operators.kernels import Kernels

BLOCK_TOKENS = 4
HEADS, KV_HEADS, DIM = 6, 2, 8
SCALE = 0.3


def batch_of(queries: Sequence[int], lengths: Sequence[int], tables: Sequence[Sequence[int]]) -> Batch:
    """A step of sequences with so many queries and lengths; what the plan doesn't read is left empty."""
    starts = [0, *itertools.accumulate(queries)]
    widest = max(map(len, tables))
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        token_ids=torch.zeros(starts[-1], dtype=torch.int64),
        positions=none,
        slots=none,
        query_starts=torch.tensor(starts, dtype=torch.int32),
        context_lengths=torch.tensor(lengths, dtype=torch.int32),
        block_tables=torch.tensor([[*table, *[0] * (widest - len(table))] for table in tables]).int(),
        logit_rows=none,
    )


def one_by_one(queries: Tensor, layer: PagedLayer, batch: Batch) -> Tensor:
    """[tokens, heads * value_dim], by the definition."""
    rows = []
    starts = batch.query_starts.tolist()
    for i, (start, end) in enumerate(itertools.pairwise(starts)):
        length = int(batch.context_lengths[i])
        slots = [
            int(batch.block_tables[i, place // BLOCK_TOKENS]) * BLOCK_TOKENS + place % BLOCK_TOKENS
            for place in range(length)
        ]
        entries = layer.entries.flatten(1, 2)[:, slots]
        for row in range(start, end):
            seen = length - (end - 1 - row)
            for head in range(HEADS):
                group = head // (HEADS // layer.kv_heads)
                key = entries[group, :seen]
                value = entries[layer.kv_heads + group, :seen] if len(entries) > layer.kv_heads else key
                weights = (key @ queries[row, head] * SCALE).softmax(0)
                rows.append(weights @ value[:, : layer.value_dim])
    return torch.stack(rows).view(len(queries), -1)


CASES = {
    "one sequence in a run of blocks": ([1], [10], [[3, 4, 5]]),
    "one sequence in blocks out of order": ([1], [10], [[5, 1, 3]]),
    "decodes of one group": ([1, 1, 1], [9, 12, 10], [[3, 4, 5], [0, 1, 2], [9, 7, 8]]),
    "decodes of very different lengths": ([1, 1, 1], [2, 23, 3], [[3], [0, 1, 2, 5, 6, 7], [9]]),
    "a whole prompt": ([7], [7], [[2, 1]]),
    "a later chunk of a prompt": ([5], [11], [[2, 1, 8]]),
    "chunks and decodes mixed": ([1, 6, 1, 3], [9, 6, 4, 8], [[3, 4, 5], [0, 1], [9], [6, 7]]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("latent", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_each_query_attends_to_its_own_past(
    case: str, latent: bool, dtype: torch.dtype, tolerance: float, kernels: Kernels
) -> None:
    torch.manual_seed(3)
    batch = batch_of(*CASES[case])
    kv_heads = 1 if latent else KV_HEADS
    layer = (
        PagedLayer(torch.randn(1, 10, BLOCK_TOKENS, DIM).to(dtype), 1, 5)
        if latent
        else PagedLayer(torch.randn(2 * KV_HEADS, 10, BLOCK_TOKENS, DIM).to(dtype), KV_HEADS, DIM)
    )
    queries = torch.randn(len(batch.token_ids), HEADS, DIM).to(dtype)
    plan = kernels.plan(batch, block_tokens=BLOCK_TOKENS, kv_heads=kv_heads, dtype=dtype)
    exact = PagedLayer(layer.entries.float(), kv_heads, layer.value_dim)
    right = one_by_one(queries.float(), exact, batch)
    torch.testing.assert_close(plan(queries, layer, SCALE).float(), right, rtol=tolerance, atol=tolerance)


def test_entries_are_written_into_their_slots_and_nowhere_else() -> None:
    layer = PagedLayer(torch.zeros(4, 3, BLOCK_TOKENS, DIM), 2, DIM)
    entries = torch.randn(2, 4, DIM)
    layer.write(torch.tensor([9, 2]), entries)
    torch.testing.assert_close(layer.entries[:, 2, 1], entries[0])
    torch.testing.assert_close(layer.entries[:, 0, 2], entries[1])
    assert int((layer.entries != 0).any(-1).sum()) == 2 * 4
