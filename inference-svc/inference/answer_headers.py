"""TGI's `x-…` headers. Source: the router of TGI 3 (`server.rs`, `generate_internal`)."""

from __future__ import annotations

from collections.abc import Sequence

from inference.engine.port import Engine
from inference.generation import Generation


def stream_headers(engine: Engine, characters: int) -> dict[str, str]:
    """What is known before the first token; `characters` are the prompt's."""
    return {"x-compute-type": engine.description.device, "x-compute-characters": str(characters)}


def answer_headers(
    generations: Sequence[Generation], generated_tokens: int, characters: int
) -> dict[str, str]:
    """Of a whole answer: times in milliseconds, but `x-compute-time` in seconds.

    Several generations of one request run beside each other, so its times are the longest of them.
    """
    total_s, validation_s, queue_s, inference_s = (
        max(times)
        for times in zip(
            *(
                (timings.total_s, timings.validation_s, timings.queue_s, timings.inference_s)
                for timings in (generation.timings for generation in generations)
            ),
            strict=True,
        )
    )
    milliseconds = {
        "x-total-time": total_s,
        "x-validation-time": validation_s,
        "x-queue-time": queue_s,
        "x-inference-time": inference_s,
        "x-time-per-token": inference_s / generated_tokens,
    }
    return {
        **stream_headers(generations[0].engine, characters),
        "x-compute-time": f"{total_s:.6f}",
        "x-prompt-tokens": str(generations[0].prompt_tokens),
        "x-generated-tokens": str(generated_tokens),
        **{name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()},
    }
