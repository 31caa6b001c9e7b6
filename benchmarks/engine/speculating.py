"""One batch of the engine with and without guesses: tokens a second while it decodes, as one JSON line.

Run as `python speculating.py MODEL ROUNDS THREADS`; MODEL is a folder with `model.gguf` and `tokenizer.json`.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch starts its threads

import torch
from inference.engine.batch import CausalModel
from inference.engine.batcher import Batcher
from inference.engine.blocks import BlockPool
from inference.engine.models import LoadOptions, load_gguf_model
from inference.engine.options import BLOCK_TOKENS, MOST_RUNNING, SPECULATE, STEP_TOKENS
from inference.engine.port import GenerationRequest, Sampling, Token
from inference.engine.scheduler import Scheduler
from inference.engine.speculation import Speculation
from inference.tokenizer import TextTokenizer

BLOCKS = 1024
NEW_TOKENS = 96
BATCHES = (1, 4, 16)
CODE = """def total(prices, discount):
    result = 0
    for price in prices:
        if price < 0:
            raise ValueError("a price can't be negative")
        result = result + price
    if discount > 1:
        raise ValueError("a discount is at most 1")
    result = result - result * discount
    return result


def average(prices):
    if not prices:
        raise ValueError("there are no prices")
    return total(prices, 0) / len(prices)
"""
AGAIN = "\n\n# The same once more:\n\n"
EDIT = "Change the name `result` in this code to `amount`."
STORY = "Write a short story about a lighthouse keeper and a whale."
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
BEGINNING = "```python\n" + CODE.replace("result", "amount")[:110]  # else so small a model doesn't edit
PROMPTS = {
    "code to copy": f"{CODE}{AGAIN}{CODE}{AGAIN}def total(",
    "code to edit": CHAT.format(f"{EDIT}\n```python\n{CODE}```") + BEGINNING,
    "a story": CHAT.format(STORY),
}
SAMPLED = Sampling(do_sample=True, temperature=0.7)
CASES = {
    "greedy": (Sampling(), ("code to copy", "code to edit", "a story")),
    "sampled": (SAMPLED, ("code to edit", "a story")),
}


def tokens_per_second(
    model: CausalModel, cache: object, most: int, requests: list[GenerationRequest]
) -> tuple[float, float]:
    """Of all requests together, from the step in which the last of them begins; and a step's tokens."""
    scheduler = Scheduler(BlockPool(BLOCKS, BLOCK_TOKENS), STEP_TOKENS, MOST_RUNNING)
    batcher = Batcher(model, cache, scheduler, frozenset(), Speculation(most))
    for request in requests:
        batcher.add(request)
    begun, made, steps, start_s = set(), 0, 0, 0.0
    while scheduler.running or scheduler.waiting:
        tokens = [generation for generation, event in batcher.step() if isinstance(event, Token)]
        if start_s:
            made, steps = made + len(tokens), steps + 1
        begun.update(tokens)
        if len(begun) == len(requests) and not start_s:
            start_s = time.perf_counter()
    return made / (time.perf_counter() - start_s), made / steps / len(requests)


def main() -> None:
    """Measure everything in turn, without guesses and with them next to each other."""
    folder, rounds, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    tokenizer = TextTokenizer.from_folder(folder)
    model = load_gguf_model(folder / "model.gguf", LoadOptions())
    cache = model.new_cache(BLOCKS, BLOCK_TOKENS)
    figures = []
    for kind, (sampling, prompts) in CASES.items():
        for what, batch in itertools.product(prompts, BATCHES):
            prompt = tokenizer.encode(PROMPTS[what], add_special_tokens=False).ids
            requests = [
                GenerationRequest(prompt, NEW_TOKENS, replace(sampling, seed=seed)) for seed in range(batch)
            ]
            runs = [
                [tokens_per_second(model, cache, most, requests) for most in (0, SPECULATE)]
                for _ in range(rounds)
            ]
            figures.append({"name": f"{kind}, {what}, {batch}", "runs": runs})
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
