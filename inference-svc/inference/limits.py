"""The limits that the service promises in `/info` and holds every request to."""

from __future__ import annotations

from dataclasses import dataclass

from inference.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """Token limits count tokens of the served model."""

    max_input_tokens: int
    max_total_tokens: int
    max_concurrent_requests: int
    max_best_of: int
    max_stop_sequences: int
    max_top_n_tokens: int
    max_client_batch_size: int


def limits_for(settings: Settings, context_tokens: int) -> Limits:
    """The operator's limits, held within the model's window of `context_tokens`."""
    total = min(settings.max_total_tokens or context_tokens, context_tokens)
    return Limits(
        max_input_tokens=min(settings.max_input_tokens or total - 1, total - 1),
        max_total_tokens=total,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_best_of=settings.max_best_of,
        max_stop_sequences=settings.max_stop_sequences,
        max_top_n_tokens=settings.max_top_n_tokens,
        max_client_batch_size=settings.max_client_batch_size,
    )
