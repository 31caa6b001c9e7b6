"""Choosing the tokens of a step, in C++ and in plain torch: `python choosing.py VOCABULARY_TOKENS`.

Sixteen rows of random scores, each way in turn. Before each, memory is read that no cache holds, as a model's
forward does: what a step calls once is never found in the processor's caches. Prints microseconds, medians,
as one line of JSON: `{kind: [C++, torch]}`; nothing where there are no native kernels.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from inference.engine.operators.native.choices import native_choices
from inference.engine.port import GenerationRequest, Sampling
from inference.engine.sampler import Place, Sampler
from inference.engine.sampling import choose_plainly

ROWS, ROUNDS, READ_BYTES = 16, 20, 256 * 2**20
KINDS = {
    "greedy": Sampling(),
    "a temperature": Sampling(do_sample=True, temperature=0.8),
    "temperature and top-p": Sampling(do_sample=True, temperature=0.8, top_p=0.95),
    "temperature, top-k and top-p": Sampling(do_sample=True, temperature=0.8, top_k=50, top_p=0.95),
    "typical-p": Sampling(do_sample=True, typical_p=0.9),
    "repetition and frequency penalties": Sampling(repetition_penalty=1.1, frequency_penalty=0.1),
}


def microseconds(work: Callable[[], object], elsewhere: torch.Tensor) -> float:
    """Of one call that finds no cache warm."""
    elsewhere.sum()
    start_s = time.perf_counter()
    work()
    return (time.perf_counter() - start_s) * 1e6


def main() -> None:
    """Measure."""
    native = native_choices()
    elsewhere = torch.ones(READ_BYTES // 4)
    scores = torch.randn(ROWS, int(sys.argv[1])) * 3
    taken: dict[str, list[float]] = {}
    for name, sampling in KINDS.items() if native else ():
        places = [
            Place(Sampler(GenerationRequest(tuple(range(row, row + 64)), 8, sampling))) for row in range(ROWS)
        ]
        ways = [partial(way, places, scores) for way in (native, choose_plainly)]
        runs = [[microseconds(way, elsewhere) for way in ways] for _ in range(ROUNDS)]
        taken[name] = [statistics.median(run[way] for run in runs) for way in range(2)]
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
