"""Several answers of one request, generated at once and given out as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from inference.engine.port import GenerationRequest
from inference.errors import BatchSizeExceededError
from inference.generation import GeneratedToken, Generation
from inference.limits import Limits

T = TypeVar("T")


def check_answers(answers: int, limits: Limits) -> None:
    """Refuse a request of too many answers, which are its prompts times `n`.

    Raises:
        BatchSizeExceededError: more than `MAX_CLIENT_BATCH_SIZE`.
    """
    if answers > limits.max_client_batch_size:
        raise BatchSizeExceededError(
            f"Number of prompts times `n` exceeds the maximum allowed batch size of "
            f"{limits.max_client_batch_size}"
        )


def siblings(request: GenerationRequest, number: int) -> list[GenerationRequest]:
    """The same request `number` times, each with a seed of its own; the first keeps the one it has."""
    sampling = request.sampling
    return [
        replace(request, sampling=replace(sampling, seed=(sampling.seed + index) % 2**64))
        for index in range(number)
    ]


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all at once, so that they share the engine's steps; where one fails, the others are given up."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def interleaved(
    generations: Sequence[Generation],
) -> AsyncGenerator[tuple[int, list[GeneratedToken]], None]:
    """The released tokens of all as they come, with the index of their generation.

    Where one fails, or the generator is closed, all are given up.
    """
    streams = [released(generation) for generation in generations]
    if len(streams) == 1:  # no task a token
        async with aclosing(streams[0]) as groups:
            async for group in groups:
                yield 0, group
        return
    waiting = {asyncio.ensure_future(anext(stream)): index for index, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(task)
                try:
                    group = task.result()
                except StopAsyncIteration:
                    continue
                waiting[asyncio.ensure_future(anext(streams[index]))] = index
                yield index, group
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


async def released(generation: Generation) -> AsyncGenerator[list[GeneratedToken], None]:
    """Tokens in groups that bring something: those that show nothing yet wait for the next that does."""
    waiting: list[GeneratedToken] = []
    async with aclosing(generation.tokens()) as tokens:
        async for token in tokens:
            waiting.append(token)
            if token.released or token.calls or token.end:
                yield waiting
                waiting = []
