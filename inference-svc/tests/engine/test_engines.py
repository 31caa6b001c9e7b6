"""Both engines against transformers itself, on small random-weight checkpoints of each shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.engine.load import load_engine
from inference.engine.options import EngineOptions
from inference.engine.port import (
    Engine,
    FinishReason,
    GenerationRequest,
    Prefilled,
    Scheduled,
    Token,
)
from inference.errors import GenerationFailedError
from scripts.make_checkpoint import SHAPES

pytestmark = pytest.mark.slow  # torch alone takes seconds to import
BOTH = pytest.mark.parametrize("kind", ["auto", "transformers"])
PROMPT = tuple(range(20, 400, 1))  # longer than one chunk of prefill


@asynccontextmanager
async def loaded(folder: Path, kind: str) -> AsyncIterator[Engine]:
    engine = await asyncio.to_thread(load_engine, folder, EngineOptions("float32", engine=kind))
    try:
        yield engine
    finally:
        engine.close()


async def tokens_of(engine: Engine, request: GenerationRequest) -> list[Token]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events if isinstance(event, Token)]


def transformers_tokens(folder: Path, prompt: tuple[int, ...], count: int) -> list[int]:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([prompt])
    output: Any = model.generate(
        ids, max_new_tokens=count, do_sample=False, attention_mask=torch.ones_like(ids)
    )
    generated: list[int] = output[0, len(prompt) :].tolist()
    return generated


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prompt", [PROMPT, (5,), (100, 7, 7, 31)], ids=["long", "one", "short"])
async def test_greedy_tokens_equal_those_of_transformers(
    checkpoint: Callable[[str], Path], shape: str, kind: str, prompt: tuple[int, ...]
) -> None:
    folder = checkpoint(shape)
    expected = transformers_tokens(folder, prompt, 40)
    async with loaded(folder, kind) as engine:
        tokens = await tokens_of(engine, GenerationRequest(prompt, 40))
    assert [token.id for token in tokens] == expected
    reason = FinishReason.EOS_TOKEN if expected[-1] == 2 else FinishReason.LENGTH
    assert [token.finish_reason for token in tokens] == [None] * (len(expected) - 1) + [reason]


def test_kernels_and_packing_can_be_forced_where_they_are_the_engine_s_own(
    checkpoint: Callable[[str], Path],
) -> None:
    engine = load_engine(checkpoint("llama"), EngineOptions("float32", kernels="torch", packing="plain"))
    engine.close()
    assert engine.description.dtype_reason.endswith("kernels torch (forced), weights plain (forced)")
    for name in ("kernels", "packing"):
        options = EngineOptions("float32", engine="transformers", **{name: "torch"})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"for which {name.upper()} can't be forced"):
            load_engine(checkpoint("llama"), options)


@BOTH
async def test_an_end_of_sequence_token_ends_the_generation_and_is_counted(
    checkpoint: Callable[[str], Path],
    kind: str,
) -> None:
    folder = checkpoint("llama")
    expected = transformers_tokens(folder, (5,), 8)
    ending = expected[3]
    options = EngineOptions("float32", engine=kind, eos_token_ids=frozenset({ending}))
    engine = await asyncio.to_thread(load_engine, folder, options)
    tokens = await tokens_of(engine, GenerationRequest((5,), 8))
    engine.close()
    assert [token.id for token in tokens] == expected[: expected.index(ending) + 1]
    assert tokens[-1].finish_reason is FinishReason.EOS_TOKEN


@BOTH
async def test_prefill_log_probabilities_are_those_of_one_forward_pass(
    checkpoint: Callable[[str], Path],
    kind: str,
) -> None:
    import torch
    import transformers

    folder = checkpoint("qwen2")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        scores = torch.log_softmax(model(torch.tensor([PROMPT])).logits[0], dim=-1)
    expected = [float(scores[place, token]) for place, token in enumerate(PROMPT[1:])]
    async with loaded(folder, kind) as engine:
        events = engine.generate(GenerationRequest(PROMPT, 1, prefill_logprobs=True))
        (prefilled,) = [event async for event in events if isinstance(event, Prefilled)]
    assert prefilled.logprobs[0] is None
    assert list(prefilled.logprobs[1:]) == pytest.approx(expected, abs=1e-3)


@BOTH
async def test_an_answer_does_not_depend_on_what_else_is_asked_at_the_time(
    checkpoint: Callable[[str], Path],
    kind: str,
) -> None:
    requests = [GenerationRequest(PROMPT[: 7 * number + 1], 20 - number) for number in range(8)]
    async with loaded(checkpoint("llama"), kind) as engine:
        alone = [await tokens_of(engine, request) for request in requests]
        together = await asyncio.gather(*(tokens_of(engine, request) for request in requests))
    for one, other in zip(alone, together, strict=True):
        assert [token.id for token in one] == [token.id for token in other]


async def test_transformers_runs_requests_one_after_the_other_in_the_order_of_their_arrival(
    checkpoint: Callable[[str], Path],
) -> None:
    finished: list[int] = []
    async with loaded(checkpoint("llama"), "transformers") as engine:

        async def run(number: int) -> None:
            await tokens_of(engine, GenerationRequest((5, 6, 7), 20 - 5 * number))
            finished.append(number)

        await asyncio.gather(*(run(number) for number in range(3)))
    assert finished == [0, 1, 2]


async def test_a_short_answer_does_not_wait_for_a_long_one(checkpoint: Callable[[str], Path]) -> None:
    finished: list[int] = []
    async with loaded(checkpoint("llama"), "auto") as engine:

        async def run(count: int) -> None:
            await tokens_of(engine, GenerationRequest((5, 6, 7), count))
            finished.append(count)

        await asyncio.gather(run(200), run(2))
    assert finished == [2, 200]


@BOTH
async def test_leaving_a_generation_stops_it_within_a_step_and_frees_the_engine(
    checkpoint: Callable[[str], Path],
    kind: str,
) -> None:
    async with loaded(checkpoint("llama"), kind) as engine:
        generation = engine.generate(GenerationRequest((5,), 400))
        waiting = engine.generate(GenerationRequest((5,), 400))
        assert isinstance(await anext(generation), Scheduled)
        queued = asyncio.create_task(anext(waiting))
        await asyncio.sleep(0)
        load = engine.load()
        assert (load.running, load.waiting) in ((1, 1), (2, 0))
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        await waiting.aclose()
        await generation.aclose()
        load = engine.load()
        assert (load.running, load.waiting) == (0, 0)
        assert len(await tokens_of(engine, GenerationRequest((5,), 3))) == 3


@BOTH
async def test_a_request_that_fails_tells_nothing_of_why_and_harms_no_other(
    checkpoint: Callable[[str], Path], kind: str
) -> None:
    async with loaded(checkpoint("llama"), kind) as engine:
        with pytest.raises(GenerationFailedError, match="could not compute this request"):
            await tokens_of(engine, GenerationRequest((10**9,), 3))  # no such token
        assert len(await tokens_of(engine, GenerationRequest((5,), 3))) == 3


@BOTH
async def test_the_engine_tells_how_long_its_present_step_takes(
    checkpoint: Callable[[str], Path], kind: str
) -> None:
    async with loaded(checkpoint("llama"), kind) as engine:
        assert engine.load().step_s == 0
        generation = engine.generate(GenerationRequest((5,), 400))
        assert isinstance(await anext(generation), Scheduled)
        seen = 0.0
        while not seen:  # most of the time is spent in steps
            await anext(generation)
            seen = engine.load().step_s
        assert 0 < seen < 60
        await generation.aclose()
        while engine.load().step_s:  # within a step
            await asyncio.sleep(0.001)
        assert engine.load().alive
