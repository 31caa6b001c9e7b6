"""llama.cpp through its C interface: several sequences in one batch, as its server makes them."""

from __future__ import annotations

import sys
import time

import llama_cpp
import numpy as np
from workload import Workload

STEP_TOKENS = 512


class Context:
    """A model with room for the workload's sequences."""

    def __init__(self, path: str, workload: Workload) -> None:
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        self.tokens = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = sum(workload.lengths) + len(workload.lengths) * (workload.new_tokens + 32)
        params.n_batch = params.n_ubatch = STEP_TOKENS
        params.n_seq_max = len(workload.lengths)
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = workload.threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.batch = llama_cpp.llama_batch_init(STEP_TOKENS, 0, 1)

    def clear(self) -> None:
        """Forget all sequences."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def step(self, parts: list[tuple[int, list[int], int]]) -> list[int]:
        """One step over (sequence, its new tokens, how many it had); the greedy next token of each."""
        batch, place, last = self.batch, 0, []
        for sequence, ids, had in parts:
            for offset, token in enumerate(ids):
                batch.token[place], batch.pos[place] = token, had + offset
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
                batch.logits[place] = offset == len(ids) - 1
                place += 1
            last.append(place - 1)
        batch.n_tokens = place
        if llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError("llama.cpp could not compute a step")
        return [
            int(
                np.ctypeslib.as_array(
                    llama_cpp.llama_get_logits_ith(self.context, i), (self.tokens,)
                ).argmax()
            )
            for i in last
        ]


def generate(context: Context, prompts: list[list[int]], new_tokens: int) -> float:
    """Make the tokens; the seconds from the first one to the last."""
    context.clear()
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
        for (sequence, ids, _), token in zip(parts, context.step(parts), strict=True):
            had[sequence] += len(ids)
            if had[sequence] == len(texts[sequence]):
                texts[sequence].append(token)
        first_s = first_s or time.perf_counter()
    return (time.perf_counter() - first_s) * new_tokens / (new_tokens - 1)


def main() -> None:
    """The peer."""
    workload = Workload.parse(sys.argv[2])
    context = Context(sys.argv[1], workload)
    workload.measure(lambda prompts, new_tokens: generate(context, prompts, new_tokens))


if __name__ == "__main__":
    main()
