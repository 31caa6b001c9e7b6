"""Drafts laid out as the model reads them, on small random-weight checkpoints of each shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inference.engine.batch import CausalModel, KVCache
from inference.engine.models import LoadOptions, load_model
from inference.engine.port import GenerationRequest
from inference.engine.scheduler import Chunk
from inference.engine.sequence import Sequence
from inference.engine.step import batch_of, wanted_rows
from scripts.make_checkpoint import SHAPES

pytestmark = pytest.mark.slow  # transformers alone takes seconds to import
SIZE = 4
PROMPT = (5, 9, 100, 31, 7, 12, 400)
ANSWER = (8, 300, 41, 6, 77, 2)


def computed(model: CausalModel, cache: KVCache, chunks: list[Chunk]) -> list[torch.Tensor]:
    """Logits of each chunk's wanted rows."""
    with torch.inference_mode():
        logits = model.forward(batch_of(chunks, SIZE, torch.device("cpu")), cache)
    rows = [wanted_rows(chunk) for chunk in chunks]
    for chunk in chunks:
        chunk.sequence.computed += chunk.tokens
    return list(torch.split(logits, rows))


@pytest.mark.parametrize("shape", SHAPES)
def test_drafts_are_computed_as_the_same_tokens_one_after_the_other(
    checkpoint: Callable[[str], Path], shape: str
) -> None:
    """Beside another sequence's decode, over blocks out of order, and behind drafts that were wrong."""
    model = load_model(checkpoint(shape), LoadOptions())
    cache = model.new_cache(16, SIZE)
    slow, drafted, other = (Sequence(GenerationRequest(PROMPT, 20)) for _ in range(3))
    slow.blocks, drafted.blocks, other.blocks = [3, 0, 9, 5], [7, 12, 1, 11], [2, 4, 6, 8]
    computed(model, cache, [Chunk(sequence, len(PROMPT)) for sequence in (slow, drafted, other)])
    expected = []
    for token in ANSWER:
        slow.tokens.append(token)
        expected += computed(model, cache, [Chunk(slow, 1)])
    drafted.tokens.append(ANSWER[0])
    other.tokens.append(ANSWER[0])
    _, wrong = computed(model, cache, [Chunk(other, 1), Chunk(drafted, 1, (55, 56, 57, 58))])
    torch.testing.assert_close(wrong[:1], expected[0], rtol=1e-4, atol=1e-4)
    other.tokens.append(ANSWER[1])
    drafted.tokens.append(ANSWER[1])
    right, beside = computed(model, cache, [Chunk(drafted, 1, ANSWER[2:]), Chunk(other, 1)])
    torch.testing.assert_close(right, torch.cat(expected[1:]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(beside, expected[1], rtol=1e-4, atol=1e-4)
