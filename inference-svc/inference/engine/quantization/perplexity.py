"""Perplexity: the exponential of a text's mean negative log probability a token, given those before."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference.engine.batch import Batch, CausalModel

_CHUNK_TOKENS = 256


@torch.inference_mode()
def perplexity(model: CausalModel, token_ids: Sequence[int], block_tokens: int = 32) -> float:
    """Of a text of at least two tokens that fits into the model's context."""
    cache = model.new_cache(-(-len(token_ids) // block_tokens), block_tokens)
    ids = torch.tensor(token_ids)
    table = torch.arange(cache.blocks, dtype=torch.int32)[None]
    loss = 0.0
    for start in range(0, len(ids), _CHUNK_TOKENS):
        end = min(start + _CHUNK_TOKENS, len(ids))
        places = torch.arange(start, end)
        logits = model.forward(
            Batch(
                token_ids=ids[start:end],
                positions=places,
                slots=places,
                query_starts=torch.tensor([0, end - start], dtype=torch.int32),
                context_lengths=torch.tensor([end], dtype=torch.int32),
                block_tables=table,
                logit_rows=torch.arange(end - start),
            ),
            cache,
        )
        followers = ids[start + 1 : end + 1]
        loss += float(torch.nn.functional.cross_entropy(logits[: len(followers)], followers, reduction="sum"))
    return float(torch.tensor(loss / (len(ids) - 1)).exp())
