"""How fast this machine's threads read memory: `python bandwidth.py THREADS` prints the best bytes a second.

Each way reads 400 MB once, more than any cache holds, as a step reads its weights.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch starts its threads

import torch
from torch import Tensor

NUMBERS, COLUMNS = 100_000_000, 1000
ROUNDS = 5
WAYS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda numbers, vector: numbers.sum(),
    lambda numbers, vector: numbers.view(-1, COLUMNS) @ vector,
    lambda numbers, vector: numbers.max(),
)


def bytes_per_s(way: Callable[[Tensor, Tensor], Tensor], numbers: Tensor, vector: Tensor) -> float:
    """Of one reading."""
    start = time.perf_counter()
    way(numbers, vector)
    return numbers.nbytes / (time.perf_counter() - start)


def main() -> None:
    """Measure."""
    torch.set_num_threads(int(sys.argv[1]))
    numbers, vector = torch.ones(NUMBERS), torch.ones(COLUMNS)
    print(
        json.dumps(
            {"bytes_per_s": [max(bytes_per_s(way, numbers, vector) for _ in range(ROUNDS)) for way in WAYS]}
        )
    )


if __name__ == "__main__":
    main()
