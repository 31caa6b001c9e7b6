"""What adapters cost a decode step: `python adapters.py CHECKPOINT`.

Sixteen sequences of 200 tokens decode under no adapter, one, four and sixteen of them, of rank 16 on every
layer. The kinds of step take turns, so that what else the machine does meets all of them; of each the fastest
is told, in milliseconds, as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch starts its threads

import torch
from inference.engine.batch import Batch
from inference.engine.lora.peft import LowRank, PeftAdapter
from inference.engine.models import LoadOptions, load_model
from inference.engine.models.weights import CheckpointWeights
from inference.engine.number_format import choose_number_format, cpu_instructions
from inference.engine.step import adapter_rows

SEQUENCES, CONTEXT_TOKENS, BLOCK_TOKENS, RANK, ROUNDS = 16, 200, 32, 16, 40
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
KINDS = (0, 1, 4, 16)


def adapter(name: str, folder: Path) -> PeftAdapter:
    """Random matrices for every linear layer."""
    weights, modules = CheckpointWeights(folder), {}
    for tensor in weights._files:
        module = tensor.removesuffix(".weight")
        if module.endswith(TARGETS) and module != tensor:
            outputs, inputs = weights._files[tensor].get_slice(tensor).get_shape()
            modules[module] = LowRank(torch.randn(RANK, inputs), torch.randn(outputs, RANK), 0.01)
    return PeftAdapter(name, modules)


def batch(adapters: int) -> Batch:
    """A decode of every sequence, those of one adapter side by side."""
    count, blocks = SEQUENCES, -(-CONTEXT_TOKENS // BLOCK_TOKENS)
    first = torch.arange(count, dtype=torch.int32) * blocks
    place = CONTEXT_TOKENS - 1
    starts = list(range(count + 1))
    names = [str(sequence * adapters // count) if adapters else None for sequence in range(count)]
    return Batch(
        token_ids=torch.arange(count) + 5,
        positions=torch.full((count,), place),
        slots=first.long() * BLOCK_TOKENS + place,
        query_starts=torch.tensor(starts, dtype=torch.int32),
        context_lengths=torch.full((count,), CONTEXT_TOKENS, dtype=torch.int32),
        block_tables=first[:, None] + torch.arange(blocks, dtype=torch.int32),
        logit_rows=torch.arange(count),
        adapters=adapter_rows(names, starts),
    )


def main() -> None:
    """Measure."""
    folder = Path(sys.argv[1])
    dtype = choose_number_format("auto", "cpu", cpu_instructions()).dtype
    adapters = [adapter(str(number), folder) for number in range(max(KINDS))]
    model = load_model(folder, LoadOptions(dtype=dtype, adapters=adapters))
    cache = model.new_cache(SEQUENCES * -(-CONTEXT_TOKENS // BLOCK_TOKENS), BLOCK_TOKENS)
    batches = {kind: batch(kind) for kind in KINDS}
    fastest_s = dict.fromkeys(KINDS, float("inf"))
    for _ in range(ROUNDS):
        for kind, step in batches.items():
            start_s = time.perf_counter()
            model.forward(step, cache)
            fastest_s[kind] = min(fastest_s[kind], time.perf_counter() - start_s)
    print(json.dumps({str(kind): 1000 * seconds for kind, seconds in fastest_s.items()}))


if __name__ == "__main__":
    main()
