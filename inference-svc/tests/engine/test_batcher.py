from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.batcher import Batcher, Generation, Happened, StepFailedError
from inference.engine.blocks import BlockPool
from inference.engine.guesses import Guesses
from inference.engine.port import GenerationRequest, Prefilled, Sampling, Scheduled, Token
from inference.engine.scheduler import Scheduler
from inference.engine.speculation import Speculation
from inference.errors import GenerationFailedError
from tests.engine.recalling_model import (
    ADAPTERS,
    END,
    VOCABULARY,
    RecallingModel,
    answer,
    following,
)

SIZE = 4
PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=30)


class Engine:
    """A batcher over a few blocks, and what it said."""

    def __init__(
        self,
        blocks: int = 12,
        step_tokens: int = 8,
        most_running: int = 4,
        speculation: Speculation | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = RecallingModel()
        self.pool = BlockPool(blocks, SIZE)
        self.scheduler = Scheduler(self.pool, step_tokens, most_running)
        cache = self.model.new_cache(blocks, SIZE)
        self.block_bytes = cache.nbytes // blocks
        self.batcher = Batcher(self.model, cache, self.scheduler, frozenset({END}), speculation, clock)
        self.said: dict[Generation, list[object]] = defaultdict(list)

    def step(self) -> bool:
        for generation, event in self.batcher.step(meanwhile=self.note):
            self.said[generation].append(event)
        return bool(self.scheduler.running or self.scheduler.waiting)

    def note(self, begun: Happened) -> None:
        for generation, event in begun:
            self.said[generation].append(event)

    def run(self) -> None:
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("the engine doesn't come to an end")

    def tokens(self, generation: Generation) -> list[int]:
        return [event.id for event in self.said[generation] if isinstance(event, Token)]


class Medium(Speculation):
    """Knows what the model says, and tells it with mistakes."""

    def __init__(self, seed: int, mistakes: float = 0.2) -> None:
        super().__init__(most=6)
        self.mistakes = mistakes
        self.random = random.Random(seed)

    def drafts(self, answers: Sequence[Guesses], rooms: Sequence[int], rows: int) -> list[list[int]]:
        told = []
        for guesses, room in zip(answers, rooms, strict=True):
            context, had = list(guesses.tokens), len(guesses.tokens)
            for _ in range(min(room, rows, self.random.randrange(7))):
                wrong = self.random.random() < self.mistakes
                context.append(following(context) if not wrong else self.random.randrange(50))
            told.append(context[had:])
            rows -= len(told[-1])
        return told


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(PROMPTS, st.integers(1, 17), st.integers(0, 6), st.sampled_from([None, *ADAPTERS])),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 9),
)
def test_answers_are_those_of_each_request_alone_and_every_block_comes_back(
    story: list[tuple[list[int], int, int, str | None]], step_tokens: int
) -> None:
    """With prefixes in common, too few blocks for all, some that are given up on the way, and adapters.

    The model sees to it that a sequence reads nothing that was computed under another adapter than its own.
    """
    engine = Engine(step_tokens=step_tokens)
    kept: list[tuple[Generation, list[int]]] = []
    for prompt, most, steps, adapter in story:
        generation = engine.batcher.add(GenerationRequest(tuple(prompt), most, adapter=adapter))
        for _ in range(steps):
            engine.step()
        if steps == 1:
            engine.batcher.remove(generation)
        else:
            kept.append((generation, answer(prompt, most)))
    engine.run()
    for generation, expected in kept:
        assert engine.tokens(generation) == expected
        assert sum(isinstance(event, Scheduled) for event in engine.said[generation]) == 1
    assert engine.pool.free == engine.pool.blocks


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(PROMPTS, st.integers(1, 17), st.integers(0, 6)), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(0, 1_000),
)
def test_guesses_right_and_wrong_change_no_answer_and_every_block_comes_back(
    story: list[tuple[list[int], int, int]], step_tokens: int, seed: int
) -> None:
    """With prefixes in common, too few blocks for all, and some that are given up on the way."""
    engine = Engine(step_tokens=step_tokens, speculation=Medium(seed))
    kept: list[tuple[Generation, list[int]]] = []
    for prompt, most, steps in story:
        generation = engine.batcher.add(GenerationRequest(tuple(prompt), most))
        for _ in range(steps):
            engine.step()
            for sequence in engine.scheduler.running:
                assert len(sequence.blocks) <= engine.pool.blocks_for(len(sequence.tokens))
        if steps == 1:
            engine.batcher.remove(generation)
        else:
            kept.append((generation, answer(prompt, most)))
    engine.run()
    for generation, expected in kept:
        assert engine.tokens(generation) == expected
        reasons = [event.finish_reason for event in engine.said[generation] if isinstance(event, Token)]
        assert [reason is None for reason in reasons] == [True] * (len(expected) - 1) + [False]
    assert max(engine.model.steps) <= step_tokens
    assert engine.pool.free == engine.pool.blocks


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(do_sample=True, seed=3),
        Sampling(do_sample=True, seed=4, top_p=0.9, temperature=1.3),
        Sampling(do_sample=True, seed=5, top_k=9, repetition_penalty=1.2),
        Sampling(frequency_penalty=1.5, presence_penalty=0.5),
    ],
)
def test_what_is_said_is_the_same_with_guesses_as_without(sampling: Sampling) -> None:
    """Tokens, log probabilities and alternatives; in fewer steps."""
    requests = [GenerationRequest((seed, 2, 9), 60, replace(sampling, seed=seed), 2) for seed in range(3)]
    plain, guessing = Engine(blocks=100), Engine(blocks=100, speculation=Medium(1, mistakes=0.05))
    said = []
    for engine in (plain, guessing):
        generations = [engine.batcher.add(request) for request in requests]
        engine.run()
        said.append([engine.said[generation] for generation in generations])
    for one, other in zip(*said, strict=True):
        tokens = [replace(event, speculated=False) for event in other if isinstance(event, Token)]
        assert tokens == [event for event in one if isinstance(event, Token)]
    assert len(guessing.model.steps) < len(plain.model.steps)


def test_an_answer_that_repeats_itself_takes_fewer_steps_and_one_that_does_not_takes_as_many() -> None:
    seconds = iter(range(10**6))
    engine = Engine(
        blocks=200, step_tokens=50, speculation=Speculation(most=4), clock=lambda: float(next(seconds))
    )
    engine.model.period = 5
    repeating = engine.batcher.add(GenerationRequest((1, 2, 3), 100))
    engine.run()
    assert len(engine.tokens(repeating)) == 100
    assert len(engine.model.steps) < 50
    engine.model.period = 39
    engine.model.steps.clear()
    engine.batcher.add(GenerationRequest((4, 2), 36))
    engine.run()
    assert len(engine.model.steps) == 36


def test_drafts_take_the_free_blocks_and_nobody_elses() -> None:
    engine = Engine(blocks=3)
    generation = engine.batcher.add(GenerationRequest((1, 2, 0), 8))
    engine.step()
    (chunk,) = engine.scheduler.next_step()
    held = engine.pool.take(1)
    drafted = engine.scheduler.with_drafts(chunk, range(9))
    assert len(drafted.drafts) == 2 * SIZE - 4
    assert engine.pool.free == 0
    generation.sequence.tokens.append(0)
    engine.scheduler.computed(drafted)
    assert engine.pool.free == 0, "the next token needs the second block"
    assert held is not None


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(PROMPTS, st.integers(1, 17), st.integers(0, 4)), min_size=1, max_size=12))
def test_every_byte_of_the_cache_is_a_running_sequence_s_or_free(
    story: list[tuple[list[int], int, int]],
) -> None:
    """After every step: used is what sequences hold, each block once however many share it."""
    engine = Engine()
    for prompt, most, steps in story:
        engine.batcher.add(GenerationRequest(tuple(prompt), most))
        for _ in range(steps):
            engine.step()
            held = {block for sequence in engine.scheduler.running for block in sequence.blocks}
            assert engine.batcher.cache_used_bytes == len(held) * engine.block_bytes
            assert engine.pool.free == engine.pool.blocks - len(held)
            assert all(not sequence.blocks for sequence in engine.scheduler.waiting)
            for sequence in engine.scheduler.running:
                assert len(sequence.blocks) == engine.pool.blocks_for(sequence.computed)


def test_a_stream_has_a_token_in_every_step_while_a_long_prompt_is_read() -> None:
    engine = Engine(blocks=100, step_tokens=8)
    stream = engine.batcher.add(GenerationRequest((1,), 40))
    engine.step()
    engine.batcher.add(GenerationRequest((0,) * 60, 1))
    for step in range(2, 8):
        engine.step()
        assert len(engine.tokens(stream)) == step
    assert max(engine.model.steps) == 8


def test_a_short_prompt_does_not_wait_for_long_ones_that_came_before() -> None:
    engine = Engine(blocks=300, step_tokens=16)
    long = [engine.batcher.add(GenerationRequest((2 + which,) * 400, 1)) for which in range(2)]
    engine.step()
    short = engine.batcher.add(GenerationRequest((1,) * 9, 1))
    for _ in range(2):  # the half that isn't the first one's
        assert not engine.tokens(short)
        engine.step()
    assert engine.tokens(short) == answer([1] * 9, 1)
    engine.run()
    assert [engine.tokens(one) for one in long] == [answer([2] * 400, 1), answer([3] * 400, 1)]


def test_a_long_prompt_gets_half_of_every_step_however_many_short_ones_come() -> None:
    engine = Engine(blocks=300, step_tokens=16, most_running=8)
    long = engine.batcher.add(GenerationRequest((2,) * 200, 1))
    steps = 0
    while not engine.tokens(long):
        for _ in range(2):
            engine.batcher.add(GenerationRequest((1, steps % 40), 1))
        engine.step()
        steps += 1
    assert steps <= 200 // (16 // 2)


def test_of_prompts_as_long_as_each_other_the_first_is_read_first() -> None:
    engine = Engine(blocks=300, step_tokens=16)
    first, second = (engine.batcher.add(GenerationRequest((which,) * 100, 1)) for which in (1, 2))
    while not engine.tokens(first):
        assert second.sequence.computed <= 16
        engine.step()
    assert len(engine.model.steps) == 7
    engine.run()
    assert engine.tokens(second) == answer([2] * 100, 1)


def test_prompts_are_let_in_only_as_their_blocks_are_there_for_all_of_them() -> None:
    engine = Engine(blocks=20, step_tokens=16)
    first, second = (engine.batcher.add(GenerationRequest((which,) * 45, 1)) for which in (1, 2))
    engine.step()
    assert engine.scheduler.running == [first.sequence]
    engine.run()
    assert sum(engine.model.steps) == 90, "nothing was given up and computed again"
    assert engine.tokens(second) == answer([2] * 45, 1)


def test_a_prompt_that_was_read_before_is_computed_only_where_it_differs() -> None:
    engine = Engine(blocks=100, step_tokens=100)
    engine.batcher.add(GenerationRequest((1,) * 40, 1))
    engine.run()
    second = engine.batcher.add(GenerationRequest((1,) * 40 + (2, 2), 1))
    engine.run()
    assert engine.model.steps == [40, 2]
    assert second.sequence.cached == 40
    assert engine.tokens(second) == answer([1] * 40 + [2, 2], 1)


def test_the_last_admitted_gives_its_blocks_up_and_says_the_same_in_the_end() -> None:
    engine = Engine(blocks=6, step_tokens=50)
    first = engine.batcher.add(GenerationRequest((1, 2), 20))
    second = engine.batcher.add(GenerationRequest((2, 1), 20))
    engine.step()
    assert engine.scheduler.running == [first.sequence, second.sequence]
    preempted = False
    while engine.step():
        preempted |= second.sequence in engine.scheduler.waiting
    assert preempted
    assert engine.tokens(first) == answer([1, 2], 20)
    assert engine.tokens(second) == answer([2, 1], 20)


def test_the_log_probabilities_of_a_prompt_come_once_and_whole() -> None:
    engine = Engine(blocks=6, step_tokens=5)
    prompt = (1, 2, 0, 1, 1, 2, 0, 2, 2, 1, 0, 0)
    other = engine.batcher.add(GenerationRequest((2,) * 8, 8))
    asking = engine.batcher.add(GenerationRequest(prompt, 2, prefill_logprobs=True))
    engine.run()
    (prefilled,) = [event for event in engine.said[asking] if isinstance(event, Prefilled)]
    assert len(prefilled.logprobs) == len(prompt)
    assert prefilled.logprobs[0] is None
    assert all(logprob is not None and logprob < 0 for logprob in prefilled.logprobs[1:])
    assert engine.tokens(other) == answer([2] * 8, 8)


def test_a_step_that_fails_ends_its_generations_and_no_others() -> None:
    engine = Engine(blocks=30, step_tokens=4, most_running=1)
    engine.model.poison = 49
    bad = engine.batcher.add(GenerationRequest((49, 0, 0, 0), 3))
    good = engine.batcher.add(GenerationRequest((1,), 3))
    with pytest.raises(StepFailedError) as failure:
        engine.step()
    assert failure.value.generations == [bad]
    engine.run()
    assert engine.tokens(good) == answer([1], 3)
    assert engine.pool.free == engine.pool.blocks


def test_a_step_whose_guesses_fail_ends_its_generations_and_no_others() -> None:
    class Failing(Speculation):
        def drafts(self, answers: Sequence[Guesses], rooms: Sequence[int], rows: int) -> list[list[int]]:
            raise RuntimeError("no guess")

    engine = Engine(blocks=30, most_running=1, speculation=Failing(most=4))
    bad = engine.batcher.add(GenerationRequest((1, 1), 3))
    good = engine.batcher.add(GenerationRequest((2, 2), 1))
    engine.step()  # without guesses: it reads a prompt
    with pytest.raises(StepFailedError) as failure:
        engine.step()
    assert failure.value.generations == [bad]
    engine.run()
    assert engine.tokens(good) == answer([2, 2], 1)
    assert engine.pool.free == engine.pool.blocks


@pytest.mark.parametrize(
    "request_", [GenerationRequest((VOCABULARY,), 1), GenerationRequest((1,), 12 * SIZE)]
)
def test_what_no_step_could_compute_is_refused(request_: GenerationRequest) -> None:
    with pytest.raises(GenerationFailedError):
        Engine().batcher.check(request_)


def test_siblings_that_come_together_compute_their_prompt_once() -> None:
    engine = Engine(blocks=200, step_tokens=16)
    prompt = [1, 2, 0, 1] * 12
    siblings = [engine.batcher.add(GenerationRequest(tuple(prompt), 3)) for _ in range(4)]
    engine.run()
    expected = answer(prompt, 3)
    assert all(engine.tokens(sibling) == expected for sibling in siblings)
    tails = 3 * SIZE  # of each that waited, the last block: the last token's logits are wanted
    decoded = 4 * (len(expected) - 1)
    assert sum(engine.model.steps) == len(prompt) + tails + decoded


def test_one_with_another_adapter_does_not_wait_for_blocks_that_it_could_not_use() -> None:
    engine = Engine(blocks=200, step_tokens=48)
    first = engine.batcher.add(GenerationRequest((1,) * 40, 1, adapter="a"))
    second = engine.batcher.add(GenerationRequest((1,) * 40, 1, adapter="b"))
    sibling = engine.batcher.add(GenerationRequest((1,) * 40, 1, adapter="a"))
    engine.step()
    assert engine.scheduler.running == [second.sequence]  # the first is done, its sibling waited
    assert engine.tokens(first) == answer([1] * 40, 1)
    engine.run()
    assert engine.tokens(second) == engine.tokens(sibling) == answer([1] * 40, 1)
    assert (second.sequence.cached, sibling.sequence.cached) == (0, 36)


def test_one_that_waits_for_anothers_blocks_holds_nobody_up_and_goes_on_where_that_one_leaves() -> None:
    engine = Engine(blocks=200, step_tokens=8)
    first = engine.batcher.add(GenerationRequest((1,) * 40, 1))
    second = engine.batcher.add(GenerationRequest((1,) * 40 + (2,), 1))
    other = engine.batcher.add(GenerationRequest((2,), 1))
    engine.step()
    engine.batcher.add(GenerationRequest((0, 2), 1))
    assert engine.scheduler.running == [first.sequence]
    while not engine.tokens(other):
        engine.step()
        assert second.sequence not in engine.scheduler.running
    engine.batcher.remove(first)
    engine.run()
    assert engine.tokens(second) == answer([1] * 40 + [2], 1)
    assert engine.pool.free == engine.pool.blocks
