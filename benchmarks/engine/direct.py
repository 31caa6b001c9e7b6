"""The engine without HTTP: for each line of standard input, a JSON list of texts, generates from all at once.

`python direct.py CHECKPOINT NEW_TOKENS` answers each line with `[tokens made, seconds]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import aclosing
from pathlib import Path

from inference.engine.options import EngineOptions
from inference.engine.port import Engine, GenerationRequest, Token
from inference.tokenizer import TextTokenizer
from loaded import loaded


async def made(engine: Engine, prompt_ids: tuple[int, ...], new_tokens: int) -> int:
    """How many tokens came."""
    async with aclosing(engine.generate(GenerationRequest(prompt_ids, new_tokens))) as events:
        return sum([isinstance(event, Token) async for event in events])


async def all_made(engine: Engine, prompts: list[tuple[int, ...]], new_tokens: int) -> int:
    """Of all prompts at once."""
    return sum(await asyncio.gather(*(made(engine, prompt, new_tokens) for prompt in prompts)))


def main() -> None:
    """Answer until the input ends."""
    folder, new_tokens = Path(sys.argv[1]), int(sys.argv[2])
    tokenizer = TextTokenizer.from_folder(folder)
    engine = loaded(folder, EngineOptions())
    for line in sys.stdin:
        prompts = [tokenizer.encode(text, add_special_tokens=True).ids for text in json.loads(line)]
        start_s = time.perf_counter()
        tokens = asyncio.run(all_made(engine, prompts, new_tokens))
        print(json.dumps([tokens, time.perf_counter() - start_s]), flush=True)
    engine.close()


if __name__ == "__main__":
    main()
