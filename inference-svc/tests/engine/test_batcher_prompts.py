"""How the prompts of a batch share its steps."""

from __future__ import annotations

import pytest

from inference.engine.blocks import BlockPool
from inference.engine.port import GenerationRequest
from tests.engine.batching import SIZE, Engine
from tests.engine.recalling_model import answer


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


def test_those_that_wait_for_one_prompt_are_looked_at_once_and_not_in_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at, find = [], BlockPool.find

    def counted(pool: BlockPool, tokens: list[int], adapter: str | None = None) -> tuple[list[int], int]:
        looked_at.append(len(tokens))
        return find(pool, tokens, adapter)

    monkeypatch.setattr(BlockPool, "find", counted)
    engine = Engine(blocks=300, step_tokens=16, most_running=20)
    prompt = [1, 2, 0, 1] * 40
    siblings = [engine.batcher.add(GenerationRequest(tuple(prompt), 1)) for _ in range(9)]
    engine.run()
    assert [engine.tokens(sibling) for sibling in siblings] == [answer(prompt, 1)] * 9
    assert len(looked_at) <= 2 * len(siblings)
    assert siblings[-1].sequence.cached == len(prompt) - SIZE


def test_one_that_waits_is_let_in_where_the_other_gives_its_place_up() -> None:
    engine = Engine(blocks=300, step_tokens=16)
    leaving, waiting = (engine.batcher.add(GenerationRequest((1,) * 90, 1)) for _ in range(2))
    engine.step()
    engine.batcher.remove(leaving)
    engine.run()
    assert engine.tokens(waiting) == answer([1] * 90, 1)
    assert waiting.sequence.cached == 16
