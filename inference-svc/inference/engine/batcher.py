"""Many generations at once, a step at a time: schedule, compute, choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from inference.engine.batch import CausalModel, KVCache
from inference.engine.drawing import rows_of
from inference.engine.guesses import Guesses
from inference.engine.port import (
    EngineEvent,
    FinishReason,
    GenerationRequest,
    Prefilled,
    Scheduled,
    Token,
)
from inference.engine.sampler import Place, Sampler
from inference.engine.sampling import Choice, choose
from inference.engine.scheduler import Chunk, Scheduler
from inference.engine.sequence import Sequence
from inference.engine.speculation import Speculation
from inference.engine.step import batch_of, wanted_rows
from inference.engine.step_counts import DECODE, PREFILL, StepCounts
from inference.errors import GenerationFailedError


@dataclass(slots=True, eq=False)
class Generation:
    """A request in the batch."""

    sequence: Sequence
    sampler: Sampler
    prompt_logprobs: list[float | None] = field(default_factory=lambda: [None])
    scheduled: bool = False
    guesses: Guesses = field(init=False)

    def __post_init__(self) -> None:
        """Guess from all that the sequence has."""
        self.guesses = Guesses(self.sequence.tokens, len(self.request.prompt_ids))

    @property
    def request(self) -> GenerationRequest:
        """What was asked."""
        return self.sequence.request


Happened = list[tuple[Generation, EngineEvent]]


class Batcher:
    """Runs generations through a model. Not for more than one thread."""

    def __init__(
        self,
        model: CausalModel,
        cache: KVCache,
        scheduler: Scheduler,
        eos_token_ids: frozenset[int],
        speculation: Speculation | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._cache = cache
        self._scheduler = scheduler
        self._eos_token_ids = eos_token_ids
        self._speculation = speculation or Speculation(most=0)
        self._clock = clock
        self.counts = StepCounts()
        self._generations: dict[Sequence, Generation] = {}

    @property
    def cache_used_bytes(self) -> int:
        """Bytes of the blocks that sequences hold."""
        pool = self._scheduler.pool
        return (pool.blocks - pool.free) * (self._cache.nbytes // self._cache.blocks)

    def check(self, request: GenerationRequest) -> None:
        """Refuse what no step could compute.

        Raises:
            GenerationFailedError: a token outside the vocabulary, an adapter that isn't there, or more tokens
                than the cache has room for.
        """
        if request.adapter is not None and request.adapter not in self._model.spec.adapters:
            raise GenerationFailedError("the model could not compute this request: it has no such adapter")
        if max(request.prompt_ids) >= self._model.spec.vocabulary_tokens:
            raise GenerationFailedError("the model could not compute this request: it doesn't know a token")
        if len(request.prompt_ids) + request.max_new_tokens > self._cache.blocks * self._cache.block_tokens:
            raise GenerationFailedError("the model could not compute this request: it is too long")

    def add(self, request: GenerationRequest) -> Generation:
        """Queue a request."""
        generation = Generation(Sequence(request), Sampler(request))
        self._generations[generation.sequence] = generation
        self._scheduler.add(generation.sequence)
        return generation

    def remove(self, generation: Generation) -> None:
        """Give a generation up. Twice is harmless."""
        if self._generations.pop(generation.sequence, None):
            self._scheduler.remove(generation.sequence)

    @torch.inference_mode()
    def step(self, meanwhile: Callable[[Happened], object] = lambda begun: None) -> Happened:
        """Compute one step; what happened to whom, in order. A generation that ended is removed.

        `meanwhile` is called as the model is about to compute, with those who have left the queue: what it
        sets off elsewhere runs beside that.

        Raises:
            StepFailedError: the model could not compute it; the generations of the step are removed.
        """
        began_s = self._clock()
        chunks = self._scheduler.next_step()
        if not chunks:
            return []
        generations = [self._generations[chunk.sequence] for chunk in chunks]
        method = DECODE if all(chunk.is_decode for chunk in chunks) else PREFILL
        self.counts.begin(method, len(chunks))
        try:
            if method == DECODE and self._speculation.most:
                chunks = self._with_drafts(chunks, generations)
            batch = batch_of(chunks, self._cache.block_tokens, self._model.spec.device)
            meanwhile(_begun(generations))
            laid_out_s = self._clock()
            logits = self._model.forward(batch, self._cache)
            computed_s = self._clock()
            events = list(self._events(chunks, generations, logits))
        except Exception as error:
            for generation in generations:
                self.remove(generation)
            raise StepFailedError(generations) from error
        ended_s = self._clock()
        if method == DECODE:
            self._speculation.costs.take(len(batch.token_ids), ended_s - laid_out_s)
        self.counts.end(method, laid_out_s - began_s, computed_s - laid_out_s, ended_s - computed_s)
        return events

    def _with_drafts(self, chunks: list[Chunk], generations: list[Generation]) -> list[Chunk]:
        """Decodes, with guesses where they pay. Beside a prompt they don't: its step is long as it is."""
        for generation in generations:
            generation.guesses.follow()
        drafts = self._speculation.drafts(
            [generation.guesses for generation in generations],
            [
                generation.request.max_new_tokens - generation.sequence.generated - 1
                for generation in generations
            ],
            self._scheduler.step_tokens - len(chunks),
        )
        return [
            self._scheduler.with_drafts(chunk, guessed) if guessed else chunk
            for chunk, guessed in zip(chunks, drafts, strict=True)
        ]

    def _events(
        self, chunks: list[Chunk], generations: list[Generation], logits: Tensor
    ) -> Iterator[tuple[Generation, EngineEvent]]:
        ending: list[tuple[Chunk, Generation]] = []
        rows: list[int] = []
        row = 0
        for chunk, generation in zip(chunks, generations, strict=True):
            first, row = row, row + wanted_rows(chunk)
            if row > first and generation.request.prefill_logprobs and not chunk.sequence.generated:
                yield from self._prompt_logprobs(chunk, generation, logits[first:row])
            if chunk.is_last:
                ending.append((chunk, generation))
                rows += range(row - 1 - len(chunk.drafts), row)
            else:
                self._scheduler.computed(chunk)
        if not ending:
            return
        places = [
            Place(generation.sampler, chunk.drafts[:count])
            for chunk, generation in ending
            for count in range(len(chunk.drafts) + 1)
        ]
        choices = iter(choose(places, rows_of(logits, rows)))
        for chunk, generation in ending:
            own = list(islice(choices, len(chunk.drafts) + 1))
            for token in self._tokens(chunk, generation, own):
                yield generation, token

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

    def _tokens(self, chunk: Chunk, generation: Generation, choices: list[Choice]) -> list[Token]:
        """The tokens chosen after a chunk: one, and another for each draft that is what was chosen."""
        tokens: list[Token] = []
        for (token_id, logprob, top), draft in zip(choices, (*chunk.drafts, None), strict=True):
            reason = self._take(generation, token_id)
            tokens.append(Token(token_id, logprob, top, reason, speculated=bool(tokens)))
            if reason or token_id != draft:
                break
        self._scheduler.computed(chunk, accepted=len(tokens) - 1)
        if tokens[-1].finish_reason:
            self.remove(generation)
        return tokens

    def _take(self, generation: Generation, token_id: int) -> FinishReason | None:
        """Go on after a token; why that ends the generation, if it does."""
        generation.sequence.tokens.append(token_id)
        generation.sampler.take(token_id)
        if token_id in self._eos_token_ids:
            return FinishReason.EOS_TOKEN
        is_full = generation.sequence.generated >= generation.request.max_new_tokens
        return FinishReason.LENGTH if is_full else None


def _begun(generations: list[Generation]) -> Happened:
    """That those which are computed for the first time have left the queue."""
    new = [generation for generation in generations if not generation.scheduled]
    for generation in new:
        generation.scheduled = True
    return [(generation, Scheduled(generation.sequence.cached or 0)) for generation in new]


class StepFailedError(Exception):
    """A step could not be computed; `generations` were in it."""

    def __init__(self, generations: list[Generation]) -> None:
        super().__init__(f"a step of {len(generations)} generations failed")
        self.generations = generations
