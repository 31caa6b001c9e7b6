from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.batcher import StepFailedError
from inference.engine.port import GenerationRequest, Prefilled, Scheduled
from inference.errors import GenerationFailedError
from tests.engine.batching import PROMPTS, SIZE, Engine
from tests.engine.recalling_model import ADAPTERS, VOCABULARY, answer


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
    for generation in engine.play(
        (GenerationRequest(tuple(prompt), most, adapter=adapter), steps)
        for prompt, most, steps, adapter in story
    ):
        assert sum(isinstance(event, Scheduled) for event in engine.said[generation]) == 1


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
