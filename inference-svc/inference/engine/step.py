"""One step of many sequences, laid out as the model reads it."""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

import numpy as np
import torch

from inference.engine.batch import AdapterRows, Batch
from inference.engine.scheduler import Chunk


def batch_of(chunks: Items[Chunk], block_tokens: int, device: torch.device) -> Batch:
    """The chunks laid end to end, before any of them counts as computed.

    Logits are wanted of a chunk's last token where the chunk ends its sequence, and of every token where the
    request asks for the prompt's log probabilities.
    """
    starts = [0, *accumulate(chunk.tokens for chunk in chunks)]
    first = np.array([chunk.sequence.computed for chunk in chunks])
    lengths = np.diff(starts)
    positions = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)
    tables = np.zeros((len(chunks), max(len(chunk.sequence.blocks) for chunk in chunks)), dtype=np.int32)
    tokens: list[int] = []
    for table, chunk in zip(tables, chunks, strict=True):
        sequence = chunk.sequence
        table[: len(sequence.blocks)] = sequence.blocks
        tokens += sequence.tokens[sequence.computed : sequence.computed + chunk.tokens]
    blocks = tables[np.repeat(np.arange(len(chunks)), lengths), positions // block_tokens].astype(np.int64)
    return Batch(
        token_ids=torch.tensor(tokens, device=device),
        positions=torch.from_numpy(positions).to(device),
        slots=torch.from_numpy(blocks * block_tokens + positions % block_tokens).to(device),
        query_starts=torch.tensor(starts, dtype=torch.int32, device=device),
        context_lengths=torch.from_numpy((first + lengths).astype(np.int32)).to(device),
        block_tables=torch.from_numpy(tables).to(device),
        logit_rows=torch.tensor(
            [row for chunk, start in zip(chunks, starts, strict=False) for row in _rows(chunk, start)],
            dtype=torch.int64,
            device=device,
        ),
        adapters=adapter_rows([chunk.sequence.request.adapter for chunk in chunks], starts),
    )


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
    every = sequence.request.prefill_logprobs and not sequence.generated
    return chunk.tokens if every else int(chunk.is_last)


def _rows(chunk: Chunk, start: int) -> range:
    end = start + chunk.tokens
    return range(end - wanted_rows(chunk), end)
