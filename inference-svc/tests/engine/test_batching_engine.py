"""Between event loops and the engine's thread, with a model that can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from torch import Tensor

from inference.engine.batch import Batch, KVCache
from inference.engine.batcher import Batcher
from inference.engine.batching_engine import BatchingEngine
from inference.engine.blocks import BlockPool
from inference.engine.port import (
    Constraint,
    EngineDescription,
    EngineEvent,
    EngineLoad,
    GenerationRequest,
    Scheduled,
    Token,
)
from inference.engine.scheduler import Chunk, Scheduler
from inference.errors import GenerationFailedError
from tests.engine.recalling_model import RecallingModel, answer

SIZE, BLOCKS = 4, 30
PROMPT = [3, 11, 4]
MOST = 6
POISON = 49
DESCRIPTION = EngineDescription("hadal", "torch.float32", "cpu", 100, "")


class HeldModel(RecallingModel):
    """Computes a step for each `release` of `gate`."""

    def __init__(self) -> None:
        super().__init__(poison=POISON)
        self.gate = threading.Semaphore(0)

    def forward(self, batch: Batch, cache: KVCache) -> Tensor:
        assert self.gate.acquire(timeout=30)
        return super().forward(batch, cache)


class BrokenScheduler(Scheduler):
    """Fails once it is broken."""

    broken = False

    def next_step(self) -> list[Chunk]:
        if self.broken:
            raise RuntimeError("it has lost a block")
        return super().next_step()


class TornGrammar:
    """Can't be used."""

    def start(self) -> Constraint:
        raise RuntimeError("it has no rules")


@asynccontextmanager
async def engine_of(model: HeldModel, scheduler: Scheduler | None = None) -> AsyncIterator[BatchingEngine]:
    cache = model.new_cache(BLOCKS, SIZE)
    scheduler = scheduler or Scheduler(BlockPool(BLOCKS, SIZE), 8, 4)
    batcher = Batcher(model, cache, scheduler, frozenset())
    engine = BatchingEngine(batcher, DESCRIPTION)
    try:
        yield engine
    finally:
        model.gate.release(1000)
        if engine._thread.is_alive():
            engine.close()


async def all_of(engine: BatchingEngine, request: GenerationRequest) -> list[int]:
    async with aclosing(engine.generate(request)) as events:
        return [event.id async for event in events if isinstance(event, Token)]


async def soon(events: AsyncGenerator[EngineEvent, None]) -> EngineEvent:
    return await asyncio.wait_for(anext(events), 10)


async def test_a_token_is_there_while_the_model_computes_the_next_and_the_last_without_another_step() -> None:
    model = HeldModel()
    async with (
        engine_of(model) as engine,
        aclosing(engine.generate(GenerationRequest(tuple(PROMPT), 3))) as events,
    ):
        assert isinstance(await soon(events), Scheduled)
        assert model.steps == []  # the first is held: who has left the queue isn't told behind it
        expected = answer(PROMPT, 3)
        for place, token_id in enumerate(expected, 1):
            model.gate.release()
            event = await soon(events)
            assert isinstance(event, Token)
            assert (event.id, bool(event.finish_reason)) == (token_id, place == len(expected))
            assert len(model.steps) == place


async def test_who_leaves_before_its_token_is_told_harms_nobody() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        leaving = engine.generate(GenerationRequest(tuple(PROMPT), MOST))
        await soon(leaving)
        staying = asyncio.create_task(all_of(engine, GenerationRequest((9, 9), MOST)))
        await leaving.aclose()  # its first token is told as the second step begins
        model.gate.release(MOST + 2)
        assert await asyncio.wait_for(staying, 10) == answer([9, 9], MOST)
        assert (engine.load().running, engine.load().waiting) == (0, 0)
        assert (engine.load().cache_used_bytes, engine.load().granted_tokens) == (0, 0)


async def test_a_failed_step_is_told_to_those_in_it_and_what_came_before_is_not_lost() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        events = engine.generate(GenerationRequest(tuple(PROMPT), MOST))
        await soon(events)
        assert engine.load().granted_tokens == len(PROMPT) + MOST
        poisoned = asyncio.create_task(all_of(engine, GenerationRequest((POISON,), MOST)))
        await asyncio.sleep(0)  # it has arrived while the first step is held, and is in the second
        model.gate.release(2)
        first = await soon(events)
        assert isinstance(first, Token)
        assert first.id == answer(PROMPT, 1)[0]
        for failing in (soon(events), asyncio.wait_for(poisoned, 10)):
            with pytest.raises(GenerationFailedError, match="could not compute this request"):
                await failing
        model.gate.release(2)
        assert await all_of(engine, GenerationRequest(tuple(PROMPT), 2)) == answer(PROMPT, 2)
        assert sum(counts.begun - counts.done for counts in engine.steps.methods.values()) == 1


async def test_a_request_that_cannot_be_queued_fails_alone() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        staying = asyncio.create_task(all_of(engine, GenerationRequest(tuple(PROMPT), MOST)))
        torn = engine.generate(GenerationRequest((1,), MOST, grammar=TornGrammar()))
        failing = asyncio.create_task(soon(torn))
        model.gate.release(MOST)
        with pytest.raises(GenerationFailedError, match="could not compute this request"):
            await failing
        assert await asyncio.wait_for(staying, 10) == answer(PROMPT, MOST)
        assert engine.load() == EngineLoad(0, 0)


async def test_an_engine_that_fails_beside_its_model_says_so_and_nobody_waits_for_it() -> None:
    model = HeldModel()
    scheduler = BrokenScheduler(BlockPool(BLOCKS, SIZE), 8, 4)
    async with engine_of(model, scheduler) as engine:
        events = engine.generate(GenerationRequest(tuple(PROMPT), MOST))
        await soon(events)
        late = asyncio.create_task(all_of(engine, GenerationRequest((9, 9), MOST)))
        await asyncio.sleep(0)  # it has arrived while the first step is held
        assert engine.load().alive
        scheduler.broken = True
        model.gate.release()
        first = await soon(events)
        assert isinstance(first, Token)
        assert first.id == answer(PROMPT, 1)[0]
        afterwards = all_of(engine, GenerationRequest(tuple(PROMPT), MOST))
        for failing in (soon(events), asyncio.wait_for(late, 10), asyncio.wait_for(afterwards, 10)):
            with pytest.raises(GenerationFailedError, match="could not compute this request"):
                await failing
        load = engine.load()
        assert (load.alive, load.running, load.waiting, load.step_s) == (False, 0, 0, 0)


async def test_who_arrives_as_the_engine_ends_does_not_wait_for_ever() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        events = engine.generate(GenerationRequest(tuple(PROMPT), MOST))
        await soon(events)
        engine._arrivals.put(None)  # what comes behind it isn't taken in any more
        late = asyncio.create_task(all_of(engine, GenerationRequest((9, 9), MOST)))
        await asyncio.sleep(0)
        model.gate.release()
        with pytest.raises(GenerationFailedError, match="could not compute this request"):
            await asyncio.wait_for(late, 10)


async def test_what_the_last_step_has_made_is_told_though_the_engine_closes() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        events = engine.generate(GenerationRequest(tuple(PROMPT), 1))
        await soon(events)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        while engine._arrivals.empty():
            await asyncio.sleep(0.001)
        model.gate.release()
        await closing
        token = await soon(events)
        assert isinstance(token, Token)
        assert token.finish_reason
