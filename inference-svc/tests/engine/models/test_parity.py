"""Every architecture against transformers, on small random checkpoints, in steps of a scheduler's kind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.models import LoadOptions, load_model
from scripts.make_checkpoint import SHAPES, VOCABULARY_TOKENS
from tests.engine.models.stepping import Stepper

Checkpoints = Callable[[str], Path]


def reference(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", local_files_only=True
    ).eval()


def reference_logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0].float()
    return logits


def prompts(*lengths: int) -> list[list[int]]:
    chooser = random.Random(1)
    return [[chooser.randrange(VOCABULARY_TOKENS) for _ in range(length)] for length in lengths]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_the_logits_of_a_whole_prompt_are_those_of_transformers(shape: str, checkpoint: Checkpoints) -> None:
    folder = checkpoint(shape)
    (ids,) = prompts(75)
    logits = Stepper(load_model(folder, LoadOptions())).step({"a": ids}, every_row=True)
    torch.testing.assert_close(logits, reference_logits(reference(folder), ids), rtol=1e-3, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_and_decodes_in_one_step_choose_the_tokens_of_transformers(
    shape: str, checkpoint: Checkpoints
) -> None:
    """Greedy, fp32: three sequences that start at different steps, prompts in chunks, blocks out of order."""
    folder = checkpoint(shape)
    stepper = Stepper(load_model(folder, LoadOptions()))
    texts = dict(zip("abc", prompts(9, 45, 70), strict=True))
    chunks = {"a": [9], "b": [20, 25], "c": [33, 1, 36]}
    waiting = {name: list(sizes) for name, sizes in chunks.items()}
    done = dict.fromkeys(texts, 0)
    for step in range(16):
        more: dict[str, list[int]] = {}
        for name, ids in texts.items():
            if name == "c" and step < 2:
                continue
            size = waiting[name].pop(0) if waiting[name] else 1
            more[name] = ids[done[name] : done[name] + size]
            done[name] += size
        for name, logits in zip(more, stepper.step(more), strict=True):
            if done[name] == len(texts[name]):
                texts[name].append(int(logits.argmax()))
    model = reference(folder)
    for name, ids in texts.items():
        prompt_tokens = sum(chunks[name])
        greedy = reference_logits(model, ids).argmax(-1).tolist()
        assert len(ids) > prompt_tokens + 8
        assert ids[prompt_tokens:] == greedy[prompt_tokens - 1 : -1]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["llama", "qwen2", "qwen3", "deepseek-v2", "deepseek-v3"])
def test_in_bfloat16_the_logits_stay_near_those_of_float32(shape: str, checkpoint: Checkpoints) -> None:
    """The tolerance: the error of all logits together is at most 4 % of them, and at most 1.5 times that of
    transformers in bfloat16, whose latent attention isn't absorbed."""
    folder = checkpoint(shape)
    (ids,) = prompts(40)
    exact = reference_logits(reference(folder), ids)
    theirs = reference_logits(reference(folder, torch.bfloat16), ids)
    model = load_model(folder, LoadOptions(dtype="bfloat16"))
    stepper = Stepper(model)
    logits = torch.cat(
        [stepper.step({"a": part}, every_row=True) for part in (ids[:17], ids[17:39], ids[39:])]
    )
    error = float((logits - exact).norm() / exact.norm())
    assert error < 0.04
    assert error < 1.5 * float((theirs - exact).norm() / exact.norm())
