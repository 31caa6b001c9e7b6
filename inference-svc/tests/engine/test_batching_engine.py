"""Between event loops and the engine's thread, with a model that can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from torch import Tensor

from inference.engine.batch import Batch, KVCache
from inference.engine.batcher import Batcher
from inference.engine.batching_engine import BatchingEngine
from inference.engine.blocks import BlockPool
from inference.engine.port import EngineDescription, EngineEvent, GenerationRequest, Token
from inference.engine.scheduler import Scheduler
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


@asynccontextmanager
async def engine_of(model: HeldModel) -> AsyncIterator[BatchingEngine]:
    cache = model.new_cache(BLOCKS, SIZE)
    batcher = Batcher(model, cache, Scheduler(BlockPool(BLOCKS, SIZE), 8, 4), frozenset())
    engine = BatchingEngine(batcher, DESCRIPTION)
    try:
        yield engine
    finally:
        model.gate.release(1000)
        engine.close()


async def all_of(engine: BatchingEngine, request: GenerationRequest) -> list[int]:
    async with aclosing(engine.generate(request)) as events:
        return [event.id async for event in events if isinstance(event, Token)]


async def soon(event: asyncio.Future[EngineEvent]) -> EngineEvent:
    return await asyncio.wait_for(event, 10)


async def test_a_token_is_there_while_the_model_computes_the_next_and_the_last_without_another_step() -> None:
    model = HeldModel()
    async with (
        engine_of(model) as engine,
        aclosing(engine.generate(GenerationRequest(tuple(PROMPT), 3))) as events,
    ):
        expected = answer(PROMPT, 3)
        model.gate.release()
        await soon(asyncio.ensure_future(anext(events)))  # scheduled
        for place, token_id in enumerate(expected, 1):
            event = await soon(asyncio.ensure_future(anext(events)))
            assert isinstance(event, Token)
            assert (event.id, bool(event.finish_reason)) == (token_id, place == len(expected))
            assert len(model.steps) == place
            model.gate.release()


async def test_who_leaves_before_its_token_is_told_harms_nobody() -> None:
    model = HeldModel()
    async with engine_of(model) as engine:
        leaving = engine.generate(GenerationRequest(tuple(PROMPT), MOST))
        staying = asyncio.create_task(all_of(engine, GenerationRequest((9, 9), MOST)))
        model.gate.release()
        await soon(asyncio.ensure_future(anext(leaving)))
        await leaving.aclose()  # its first token is told as the second step begins
        model.gate.release(MOST + 2)
        assert await asyncio.wait_for(staying, 10) == answer([9, 9], MOST)
        assert (engine.load().running, engine.load().waiting) == (0, 0)
        assert engine.load().cache_used_bytes == 0


async def test_a_failed_step_is_told_to_those_in_it_and_what_came_before_is_not_lost() -> None:
    model = HeldModel()
    most = 90
    async with engine_of(model) as engine:
        events = engine.generate(GenerationRequest(tuple(PROMPT), most))
        model.gate.release()
        await soon(asyncio.ensure_future(anext(events)))
        poisoned = asyncio.create_task(all_of(engine, GenerationRequest((POISON,), most)))
        await asyncio.sleep(0)  # it has arrived, and is in the next step or the one after
        model.gate.release(3 * most)
        came = []
        with pytest.raises(GenerationFailedError, match="could not compute this request"):
            async for event in events:
                assert isinstance(event, Token)
                came.append(event.id)
        assert came in (answer(PROMPT, most)[:count] for count in (1, 2, 3))
        with pytest.raises(GenerationFailedError, match="could not compute this request"):
            await asyncio.wait_for(poisoned, 10)
        assert await all_of(engine, GenerationRequest(tuple(PROMPT), 2)) == answer(PROMPT, 2)
