"""Many generations at once, a step at a time: schedule, compute, choose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.engine.batch import CausalModel, KVCache
from inference.engine.operators.likeliest import likeliest
from inference.engine.port import (
    EngineEvent,
    FinishReason,
    GenerationRequest,
    Prefilled,
    Scheduled,
    Token,
    TokenLogprob,
)
from inference.engine.sampling import Sampler
from inference.engine.scheduler import Chunk, Scheduler
from inference.engine.sequence import Sequence
from inference.engine.step import batch_of, wanted_rows
from inference.errors import GenerationFailedError

Choice = tuple[TokenLogprob, tuple[TokenLogprob, ...]]


@dataclass(slots=True, eq=False)
class Generation:
    """A request in the batch. `sampler` is None where the likeliest token is all that is wanted."""

    sequence: Sequence
    sampler: Sampler | None
    prompt_logprobs: list[float | None] = field(default_factory=lambda: [None])
    scheduled: bool = False

    @property
    def request(self) -> GenerationRequest:
        """What was asked."""
        return self.sequence.request


class Batcher:
    """Runs generations through a model. Not for more than one thread."""

    def __init__(
        self, model: CausalModel, cache: KVCache, scheduler: Scheduler, eos_token_ids: frozenset[int]
    ) -> None:
        self._model = model
        self._cache = cache
        self._scheduler = scheduler
        self._eos_token_ids = eos_token_ids
        self._generations: dict[Sequence, Generation] = {}

    @property
    def cache_used_bytes(self) -> int:
        """Bytes of the blocks that sequences hold."""
        pool = self._scheduler.pool
        return (pool.blocks - pool.free) * (self._cache.nbytes // self._cache.blocks)

    def check(self, request: GenerationRequest) -> None:
        """Refuse what no step could compute.

        Raises:
            GenerationFailedError: a token outside the vocabulary, or more tokens than the cache has room for.
        """
        if max(request.prompt_ids) >= self._model.spec.vocabulary_tokens:
            raise GenerationFailedError("the model could not compute this request: it doesn't know a token")
        if len(request.prompt_ids) + request.max_new_tokens > self._cache.blocks * self._cache.block_tokens:
            raise GenerationFailedError("the model could not compute this request: it is too long")

    def add(self, request: GenerationRequest) -> Generation:
        """Queue a request."""
        sampler = None
        if not _is_plainly_greedy(request):
            sampler = Sampler(request, self._model.spec.vocabulary_tokens, self._model.spec.device)
        generation = Generation(Sequence(request), sampler)
        self._generations[generation.sequence] = generation
        self._scheduler.add(generation.sequence)
        return generation

    def remove(self, generation: Generation) -> None:
        """Give a generation up. Twice is harmless."""
        if self._generations.pop(generation.sequence, None):
            self._scheduler.remove(generation.sequence)

    @torch.inference_mode()
    def step(self) -> list[tuple[Generation, EngineEvent]]:
        """Compute one step; what happened to whom, in order. A generation that ended is removed.

        Raises:
            StepFailedError: the model could not compute it; the generations of the step are removed.
        """
        chunks = self._scheduler.next_step()
        if not chunks:
            return []
        generations = [self._generations[chunk.sequence] for chunk in chunks]
        try:
            batch = batch_of(chunks, self._cache.block_tokens, self._model.spec.device)
            logits = self._model.forward(batch, self._cache)
            return list(self._events(chunks, generations, logits))
        except Exception as error:
            for generation in generations:
                self.remove(generation)
            raise StepFailedError(generations) from error

    def _events(
        self, chunks: list[Chunk], generations: list[Generation], logits: Tensor
    ) -> Iterator[tuple[Generation, EngineEvent]]:
        parts = torch.split(logits, [wanted_rows(chunk) for chunk in chunks])
        ending = [
            (generation, part[-1])
            for chunk, generation, part in zip(chunks, generations, parts, strict=True)
            if chunk.is_last
        ]
        for chunk, generation, part in zip(chunks, generations, parts, strict=True):
            if not generation.scheduled:
                generation.scheduled = True
                yield generation, Scheduled(generation.sequence.cached or 0)
            if wanted_rows(chunk) and generation.request.prefill_logprobs and not chunk.sequence.generated:
                yield from self._prompt_logprobs(chunk, generation, part)
            self._scheduler.computed(chunk)
        for (generation, _), (chosen, top) in zip(ending, _choose(ending), strict=True):
            yield generation, self._token(generation, chosen, top)

    def _prompt_logprobs(
        self, chunk: Chunk, generation: Generation, logits: Tensor
    ) -> Iterator[tuple[Generation, EngineEvent]]:
        """Of the tokens after the chunk's; the prompt's whole list once it is whole."""
        begins = chunk.sequence.computed + 1
        del generation.prompt_logprobs[begins:]  # computed before, and given up for others' sake
        following = generation.request.prompt_ids[begins : begins + chunk.tokens]
        ids = torch.tensor(following, dtype=torch.int64, device=logits.device)
        logprobs = torch.log_softmax(logits[: len(ids)].float(), dim=-1).gather(1, ids[:, None])
        generation.prompt_logprobs += logprobs[:, 0].tolist()
        if chunk.is_last:
            yield generation, Prefilled(tuple(generation.prompt_logprobs))

    def _token(self, generation: Generation, chosen: TokenLogprob, top: tuple[TokenLogprob, ...]) -> Token:
        sequence = generation.sequence
        sequence.tokens.append(chosen.id)
        reason = FinishReason.LENGTH if sequence.generated >= generation.request.max_new_tokens else None
        if chosen.id in self._eos_token_ids:
            reason = FinishReason.EOS_TOKEN
        if reason:
            self.remove(generation)
        return Token(chosen.id, chosen.logprob, top, reason)


class StepFailedError(Exception):
    """A step could not be computed; `generations` were in it."""

    def __init__(self, generations: list[Generation]) -> None:
        super().__init__(f"a step of {len(generations)} generations failed")
        self.generations = generations


def _is_plainly_greedy(request: GenerationRequest) -> bool:
    sampling = request.sampling
    return (
        not sampling.do_sample
        and not request.top_n_tokens
        and request.grammar is None
        and sampling.repetition_penalty == 1
        and not sampling.frequency_penalty
        and not sampling.presence_penalty
    )


def _choose(ending: list[tuple[Generation, Tensor]]) -> list[Choice]:
    """The next token of each, from its row of logits; the greedy ones all at once."""
    greedy = [row for generation, row in ending if generation.sampler is None]
    best = iter(_likeliest(torch.stack(greedy)) if greedy else [])
    return [
        (next(best), ()) if generation.sampler is None else generation.sampler.choose(row)
        for generation, row in ending
    ]


def _likeliest(logits: Tensor) -> list[TokenLogprob]:
    """The best token of each row of [rows, vocabulary]."""
    ids, log_totals = likeliest(logits)
    logprobs = logits.gather(1, ids[:, None])[:, 0] - log_totals
    return [TokenLogprob(i, p) for i, p in zip(ids.tolist(), logprobs.tolist(), strict=True)]
