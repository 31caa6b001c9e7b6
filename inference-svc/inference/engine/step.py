"""One step of many sequences, laid out as the model reads it."""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

import numpy as np
import torch

from inference.engine.batch import AdapterRows, Batch
from inference.engine.scheduler import Chunk

_Span = tuple[list[int], int, list[int]]
"""Blocks, the place of the first token, and tokens."""


def batch_of(chunks: Items[Chunk], block_tokens: int, device: torch.device) -> Batch:
    """The chunks laid end to end, before any of them counts as computed.

    Logits are wanted of a chunk's last token where the chunk ends its sequence, of its drafts, and of every
    token where the request asks for the prompt's log probabilities.
    """
    spans = [span for chunk in chunks for span in _spans(chunk)]
    starts = [0, *accumulate(len(tokens) for _, _, tokens in spans)]
    first = np.array([place for _, place, _ in spans])
    lengths = np.diff(starts)
    positions = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)
    tables = np.zeros((len(spans), max(len(blocks) for blocks, _, _ in spans)), dtype=np.int32)
    for table, (blocks, _, _) in zip(tables, spans, strict=True):
        table[: len(blocks)] = blocks
    slots = tables[np.repeat(np.arange(len(spans)), lengths), positions // block_tokens].astype(np.int64)
    ends = [0, *accumulate(chunk.tokens + len(chunk.drafts) for chunk in chunks)]
    rows = [
        row
        for chunk, end in zip(chunks, ends[1:], strict=True)
        for row in range(end - wanted_rows(chunk), end)
    ]
    return Batch(
        token_ids=torch.tensor([token for _, _, tokens in spans for token in tokens], device=device),
        positions=torch.from_numpy(positions).to(device),
        slots=torch.from_numpy(slots * block_tokens + positions % block_tokens).to(device),
        query_starts=torch.tensor(starts, dtype=torch.int32, device=device),
        context_lengths=torch.from_numpy((first + lengths).astype(np.int32)).to(device),
        block_tables=torch.from_numpy(tables).to(device),
        logit_rows=torch.tensor(rows, dtype=torch.int64, device=device),
        adapters=adapter_rows([chunk.sequence.request.adapter for chunk in chunks], ends),
    )


def _spans(chunk: Chunk) -> list[_Span]:
    """A chunk is one span. One with drafts is as many as it has tokens, of one each, over the same blocks.

    A step writes its cache entries before it reads any, so each sees those before it; and the model computes
    them as it does the decodes of several sequences.
    """
    sequence, first = chunk.sequence, chunk.sequence.computed
    tokens = sequence.tokens[first : first + chunk.tokens]
    if not chunk.drafts:
        return [(sequence.blocks, first, tokens)]
    return [(sequence.blocks, first + i, [token]) for i, token in enumerate((*tokens, *chunk.drafts))]


def adapter_rows(adapters: Items[str | None], starts: Items[int]) -> tuple[AdapterRows, ...]:
    """The runs of rows with one adapter, of sequences that begin at `starts`, with the end behind them."""
    runs = groupby(zip(adapters, pairwise(starts), strict=True), key=itemgetter(0))
    spans = ((adapter, [span for _, span in run]) for adapter, run in runs)
    return tuple(
        AdapterRows(adapter, slice(own[0][0], own[-1][1])) for adapter, own in spans if adapter is not None
    )


def wanted_rows(chunk: Chunk) -> int:
    """How many rows of logits `batch_of` asks for this chunk."""
    sequence = chunk.sequence
    if sequence.request.prefill_logprobs and not sequence.generated:
        return chunk.tokens + len(chunk.drafts)
    return 1 + len(chunk.drafts) if chunk.is_last else 0
