"""One step of many sequences, laid out as the model reads it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Items
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.engine.batch import AdapterRows, Batch
from inference.engine.scheduler import Chunk


def batch_of(chunks: Items[Chunk], block_tokens: int, device: torch.device) -> Batch:
    """The chunks laid end to end, before any of them counts as computed.

    Logits are wanted of a chunk's last token where the chunk ends its sequence, of its drafts, and of every
    token where the request asks for the prompt's log probabilities.

    In lists, because a step that decodes is short, and what it waits for is the code that it runs: each call
    of numpy or torch has been driven from the processor's caches by the step before.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    tables: list[list[int]] = []
    lengths: list[int] = []
    rows: list[int] = []
    starts, ends = [0], [0]
    for chunk in chunks:
        blocks = chunk.sequence.blocks
        for first, tokens in _spans(chunk):
            places = range(first, first + len(tokens))
            token_ids += tokens
            positions += places
            slots += [blocks[place // block_tokens] * block_tokens + place % block_tokens for place in places]
            tables.append(blocks)
            lengths.append(places.stop)
            starts.append(len(token_ids))
        ends.append(len(token_ids))
        rows += range(ends[-1] - wanted_rows(chunk), ends[-1])
    padded = np.zeros((len(tables), max(map(len, tables))), dtype=np.int32)  # a long one makes many zeros
    for row, blocks in zip(padded, tables, strict=True):
        row[: len(blocks)] = blocks
    return Batch(
        token_ids=_tensor(token_ids, np.int64, device),
        positions=_tensor(positions, np.int64, device),
        slots=_tensor(slots, np.int64, device),
        query_starts=_tensor(starts, np.int32, device),
        context_lengths=_tensor(lengths, np.int32, device),
        block_tables=torch.from_numpy(padded).to(device),
        logit_rows=_tensor(rows, np.int64, device),
        adapters=adapter_rows([chunk.sequence.request.adapter for chunk in chunks], ends),
    )


def _tensor(values: list[int], number: type[np.integer[Any]], device: torch.device) -> Tensor:
    """Through numpy, which takes a third of the time of `torch.tensor`."""
    return torch.from_numpy(np.array(values, dtype=number)).to(device)


def _spans(chunk: Chunk) -> Iterator[tuple[int, Items[int]]]:
    """The place of a span's first token, and its tokens.

    A chunk is one span. One with drafts is as many as it has tokens, of one each, over the same blocks. A
    step writes its cache entries before it reads any, so each sees those before it; and the model computes
    them as it does the decodes of several sequences.
    """
    first = chunk.sequence.computed
    tokens = chunk.sequence.tokens[first : first + chunk.tokens]
    if not chunk.drafts:
        yield first, tokens
        return
    for i, token in enumerate((*tokens, *chunk.drafts), first):
        yield i, (token,)


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
