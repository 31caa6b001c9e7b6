"""First tokens of 16 requests that share a long beginning, and of 16 that don't.

`python prefix.py CHECKPOINT ROUNDS` prints the mean seconds to a first token, a round: `apart` with a
beginning of its own for each, which is what no cache would give; `known` with one that was read before;
`together` with one that nobody has read yet.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from inference.engine.options import EngineOptions
from inference.engine.port import Engine, GenerationRequest, Token
from loaded import loaded

REQUESTS, PREFIX_TOKENS, OWN_TOKENS, NEW_TOKENS = 16, 2048, 16, 4
SMALLEST_VOCABULARY = 1000
CACHE_TOKENS = 2 * REQUESTS * (PREFIX_TOKENS + OWN_TOKENS + NEW_TOKENS)


async def first_token_s(engine: Engine, prompt: Sequence[int]) -> float:
    """Seconds from asking to the first token; the others are made too."""
    began_s, first_s = time.perf_counter(), 0.0
    async with aclosing(engine.generate(GenerationRequest(tuple(prompt), NEW_TOKENS))) as events:
        async for event in events:
            if isinstance(event, Token) and not first_s:
                first_s = time.perf_counter() - began_s
    return first_s


async def mean_s(engine: Engine, prompts: Sequence[Sequence[int]]) -> float:
    """Of the first tokens of prompts that come at once."""
    return statistics.fmean(await asyncio.gather(*(first_token_s(engine, prompt) for prompt in prompts)))


async def measure(engine: Engine, rounds: int) -> dict[str, list[float]]:
    """Every beginning is new in its round."""
    random.seed(5)

    def some(tokens: int) -> list[int]:
        return random.choices(range(5, SMALLEST_VOCABULARY), k=tokens)

    def of(prefix: list[int]) -> list[list[int]]:
        return [prefix + some(OWN_TOKENS) for _ in range(REQUESTS)]

    taken: dict[str, list[float]] = {"apart": [], "known": [], "together": []}
    for _ in range(rounds):
        apart = [some(PREFIX_TOKENS + OWN_TOKENS) for _ in range(REQUESTS)]
        taken["apart"].append(await mean_s(engine, apart))
        known = some(PREFIX_TOKENS)
        await first_token_s(engine, known + some(OWN_TOKENS))
        taken["known"].append(await mean_s(engine, of(known)))
        taken["together"].append(await mean_s(engine, of(some(PREFIX_TOKENS))))
    return taken


def main() -> None:
    """Load and measure."""
    engine = loaded(Path(sys.argv[1]), EngineOptions(cache_tokens=CACHE_TOKENS))
    print(json.dumps(asyncio.run(measure(engine, int(sys.argv[2])))))
    engine.close()


if __name__ == "__main__":
    main()
