"""Guessed tokens in the batcher: they change no answer, and cost no block."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.batcher import StepFailedError
from inference.engine.guesses import Guesses
from inference.engine.port import GenerationRequest, Sampling, Token
from inference.engine.speculation import Speculation
from tests.engine.batching import PROMPTS, SIZE, Engine
from tests.engine.recalling_model import answer, following


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
    st.lists(st.tuples(PROMPTS, st.integers(1, 17), st.integers(0, 6)), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(0, 1_000),
)
def test_guesses_right_and_wrong_change_no_answer_and_every_block_comes_back(
    story: list[tuple[list[int], int, int]], step_tokens: int, seed: int
) -> None:
    """With prefixes in common, too few blocks for all, and some that are given up on the way."""
    engine = Engine(step_tokens=step_tokens, speculation=Medium(seed))

    def look() -> None:
        for sequence in engine.scheduler.running:
            assert len(sequence.blocks) <= engine.pool.blocks_for(len(sequence.tokens))

    requests = ((GenerationRequest(tuple(prompt), most), steps) for prompt, most, steps in story)
    for generation in engine.play(requests, look):
        reasons = [event.finish_reason for event in engine.said[generation] if isinstance(event, Token)]
        assert [reason is None for reason in reasons] == [True] * (len(reasons) - 1) + [False]
    assert max(engine.model.steps) <= step_tokens


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
