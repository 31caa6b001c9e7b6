"""TGI's `x-…` headers. Source: the router of TGI 3 (`server.rs`, `generate_internal`)."""

from __future__ import annotations

from collections.abc import Sequence

from inference.engine.port import Engine
from inference.generation import Generation


def stream_headers(engine: Engine, characters: int) -> dict[str, str]:
    """What is known before the first token; `characters` are the prompt's."""
    return {"x-compute-type": engine.description.device, "x-compute-characters": str(characters)}


def answer_headers(
    generations: Sequence[Generation], prompt_tokens: int, generated_tokens: int, characters: int
) -> dict[str, str]:
    """Of a whole answer: times in milliseconds, but `x-compute-time` in seconds.

    Several generations of one request run beside each other, so its times are the longest of them.
    """
    timings = [generation.timings for generation in generations]
    total_s = max(each.total_s for each in timings)
    inference_s = max(each.inference_s for each in timings)
    milliseconds = {
        "x-total-time": total_s,
        "x-validation-time": max(each.validation_s for each in timings),
        "x-queue-time": max(each.queue_s for each in timings),
        "x-inference-time": inference_s,
        "x-time-per-token": inference_s / generated_tokens,
    }
    return {
        **stream_headers(generations[0].engine, characters),
        "x-compute-time": f"{total_s:.6f}",
        "x-prompt-tokens": str(prompt_tokens),
        "x-generated-tokens": str(generated_tokens),
        **{name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()},
    }
