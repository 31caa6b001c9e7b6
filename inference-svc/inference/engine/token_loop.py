"""One request through a transformers model: prefill in chunks, then one token a step, over a KV cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from inference.engine.port import EngineEvent, FinishReason, GenerationRequest, Prefilled, Scheduled, Token
from inference.engine.sampler import Place, Sampler
from inference.engine.sampling import choose
from inference.engine.step_counts import DECODE, PREFILL, StepCounts

PREFILL_CHUNK_TOKENS = 256  # the longest step, and so how soon a cancelled request stops


class TokenLoop:
    """Runs requests one after the other through `model`, a causal language model in evaluation mode."""

    def __init__(self, model: Any, eos_token_ids: frozenset[int]) -> None:
        self._model = model
        self._eos_token_ids = eos_token_ids
        self.counts = StepCounts()  # what is beside the model's forward isn't told apart here
        self.step_began_s: float | None = None  # on the monotonic clock; None while there is no request

    def run(self, request: GenerationRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """Yield a request's events; `cancelled` is asked before every step."""
        yield Scheduled()
        try:
            yield from self._computed(request, cancelled)
        finally:
            self.step_began_s = None

    def _computed(self, request: GenerationRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        with torch.inference_mode():
            cache = _new_cache(self._model)
            logprobs: list[float | None] = [None]
            logits = None
            for chunk in _chunks(request.prompt_ids):
                if cancelled():
                    return
                logits = self._forward(PREFILL, chunk, cache, every_place=request.prefill_logprobs)
                if request.prefill_logprobs:
                    logprobs += _logprobs_of_next(logits, request.prompt_ids, len(logprobs))
            if request.prefill_logprobs:
                yield Prefilled(tuple(logprobs))
            assert logits is not None  # noqa: S101 (a checked request has a prompt)
            yield from self._decode(request, cache, logits[-1], cancelled)

    def _decode(
        self,
        request: GenerationRequest,
        cache: Any,
        logits: torch.Tensor,
        cancelled: Callable[[], bool],
    ) -> Iterator[Token]:
        sampler = Sampler(request)
        for step in range(1, request.max_new_tokens + 1):
            ((token_id, logprob, top),) = choose([Place(sampler)], logits[None])
            sampler.take(token_id)
            reason = FinishReason.LENGTH if step == request.max_new_tokens else None
            if token_id in self._eos_token_ids:
                reason = FinishReason.EOS_TOKEN
            yield Token(token_id, logprob, top, reason)
            if reason or cancelled():
                return
            logits = self._forward(DECODE, (token_id,), cache, every_place=False)[-1]

    def _forward(self, method: str, ids: tuple[int, ...], cache: Any, *, every_place: bool) -> torch.Tensor:
        """Scores of shape [places, vocabulary]: of every place, or of the last one alone."""
        self.counts.begin(method, sequences=1)
        self.step_began_s = time.monotonic()
        began_s = time.perf_counter()
        output = self._model(
            input_ids=torch.tensor([ids], device=self._model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=0 if every_place else 1,
        )
        self.counts.end(method, 0.0, time.perf_counter() - began_s, 0.0)
        logits: torch.Tensor = output.logits[0]
        return logits


def _new_cache(model: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=model.config)


def _chunks(ids: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return (ids[start : start + PREFILL_CHUNK_TOKENS] for start in range(0, len(ids), PREFILL_CHUNK_TOKENS))


def _logprobs_of_next(logits: torch.Tensor, prompt_ids: tuple[int, ...], first: int) -> list[float]:
    """Log probabilities of the prompt's tokens from index `first` on, each under the place before it."""
    following = torch.tensor(prompt_ids[first : first + len(logits)], device=logits.device)
    scores = torch.log_softmax(logits[: len(following)].float(), dim=-1)
    picked: list[float] = scores.gather(1, following[:, None])[:, 0].tolist()
    return picked
