"""The default model itself, token by token beside transformers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.models import LoadOptions, load_gguf_model, load_model
from tests.engine.models.stepping import Stepper
from tests.engine.models.test_parity import reference, reference_logits

PROMPTS = 50
NEW_TOKENS = 24
BATCH = 10
TEXT = "the sea is deep and cold; who wrote down how a river, three ships and an old map met in Lisbon?"
CAPITAL = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
)
NEAR_TIE = 1e-3  # of the two best logits, where the order of a sum decides


@pytest.mark.slow
def test_greedy_answers_to_fifty_prompts_are_those_of_transformers(default_model: Path) -> None:
    """Promise of the engine: in float32, token by token. Ten sequences a step, blocks out of order."""
    tokenizer = Tokenizer.from_file(str(default_model / "tokenizer.json"))
    chooser, words = random.Random(11), TEXT.split()
    texts = [" ".join(chooser.choices(words, k=chooser.randrange(3, 40))) for _ in range(PROMPTS)]
    prompts = [list(tokenizer.encode(text).ids) for text in texts]
    model, theirs = load_model(default_model, LoadOptions()), reference(default_model)
    for start in range(0, PROMPTS, BATCH):
        stepper = Stepper(model, blocks=128)
        answers = {str(i): list(prompts[i]) for i in range(start, start + BATCH)}
        more = dict(answers)
        for _ in range(NEW_TOKENS):
            chosen = stepper.step(more).argmax(-1).tolist()
            more = {name: [token] for name, token in zip(answers, chosen, strict=True)}
            for name, token in zip(answers, chosen, strict=True):
                answers[name].append(token)
        for name, ids in answers.items():
            logits = reference_logits(theirs, ids[:-1])[len(prompts[int(name)]) - 1 :]
            made = ids[len(prompts[int(name)]) :]
            best = logits.max(-1).values
            behind = best - logits.gather(1, logits.new_tensor(made).long()[:, None])[:, 0]
            assert made == logits.argmax(-1).tolist() or float(behind.max()) < NEAR_TIE


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_blocks_choose_the_tokens_of_unpacked_ones(dtype: str, default_model: Path) -> None:
    """The first token of this answer is a near tie, which rows of eight bits turn, or logits in bfloat16."""
    tokenizer = Tokenizer.from_file(str(default_model / "tokenizer.json"))
    prompt = list(tokenizer.encode(CAPITAL, add_special_tokens=False).ids)
    answers = []
    for mode in ("unpacked", "packed"):
        stepper = Stepper(load_gguf_model(default_model / BLOCKS, LoadOptions(dtype, quantization=mode)))
        more, answer = prompt, []
        for _ in range(7):
            more = stepper.step({"a": more}).argmax(-1).tolist()
            answer += more
        answers.append(tokenizer.decode(answer))
    assert answers == ["The capital of France is Paris."] * 2
