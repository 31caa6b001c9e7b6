"""This engine's model runner: chunked prompts and decodes in one step, without the service around it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch starts its threads

import torch
from inference.engine.batch import Batch, CausalModel
from inference.engine.models import LoadOptions, load_gguf_model, load_model
from inference.engine.number_format import choose_number_format, cpu_instructions
from workload import Workload

BLOCK_TOKENS = 32
STEP_TOKENS = 512


def step(
    model: CausalModel, cache: object, parts: list[tuple[int, list[int], int]], blocks: int
) -> list[int]:
    """One step over (sequence, its new tokens, how many it had); the greedy next token of each."""
    starts, slots, places = [0], [], []
    for sequence, ids, had in parts:
        own = range(had, had + len(ids))
        places += own
        slots += [sequence * blocks * BLOCK_TOKENS + place for place in own]
        starts.append(starts[-1] + len(ids))
    lengths = [had + len(ids) for _, ids, had in parts]
    widest = -(-max(lengths) // BLOCK_TOKENS)
    firsts = torch.tensor([sequence * blocks for sequence, _, _ in parts], dtype=torch.int32)
    batch = Batch(
        token_ids=torch.tensor([token for _, ids, _ in parts for token in ids]),
        positions=torch.tensor(places),
        slots=torch.tensor(slots),
        query_starts=torch.tensor(starts, dtype=torch.int32),
        context_lengths=torch.tensor(lengths, dtype=torch.int32),
        block_tables=firsts[:, None] + torch.arange(widest, dtype=torch.int32),
        logit_rows=torch.tensor(starts[1:]) - 1,
    )
    return model.forward(batch, cache).argmax(-1).tolist()


def generate(model: CausalModel, prompts: list[list[int]], new_tokens: int) -> float:
    """Make the tokens; the seconds from the first one to the last."""
    blocks = -(-(max(map(len, prompts)) + new_tokens) // BLOCK_TOKENS)
    cache = model.new_cache(blocks * len(prompts), BLOCK_TOKENS)
    had = [0] * len(prompts)
    texts = [list(prompt) for prompt in prompts]
    first_s = 0.0
    while any(len(text) - len(prompt) < new_tokens for text, prompt in zip(texts, prompts, strict=True)):
        parts, budget = [], STEP_TOKENS
        for sequence in sorted(range(len(texts)), key=lambda i: len(texts[i]) - had[i]):
            ids = texts[sequence][had[sequence] :][:budget]
            if ids and len(texts[sequence]) - len(prompts[sequence]) < new_tokens:
                parts.append((sequence, ids, had[sequence]))
                budget -= len(ids)
        for (sequence, ids, _), token in zip(parts, step(model, cache, parts, blocks), strict=True):
            had[sequence] += len(ids)
            if had[sequence] == len(texts[sequence]):
                texts[sequence].append(token)
        first_s = first_s or time.perf_counter()
    return (time.perf_counter() - first_s) * new_tokens / (new_tokens - 1)


def main() -> None:
    """The peer."""
    path, workload = Path(sys.argv[1]), Workload.parse(sys.argv[2])
    torch.set_num_threads(workload.threads)
    dtype = choose_number_format("auto", "cpu", cpu_instructions()).dtype
    load = load_gguf_model if path.suffix == ".gguf" else load_model
    model = load(path, LoadOptions(dtype=dtype))
    print(model.spec.kernels, file=sys.stderr)
    workload.measure(lambda prompts, new_tokens: generate(model, prompts, new_tokens))


if __name__ == "__main__":
    main()
