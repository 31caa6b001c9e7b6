"""The function that the tests serve under the stock command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from functions._runtime.function import Function, Ground, function
from functions._runtime.http import Request, Response, Route
from functions._runtime.settings import at_least, variable

TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Settings:
    ticks: int = variable("DEMO_TICKS", default=50, parse=at_least(1))
    key: str = variable("DEMO_KEY", secret=True)


async def build(settings: Settings, ground: Ground) -> Function:
    ground.stack.callback(lambda: ground.log.info("stack_closed"))

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ground.log.info("background_ended")

    async def whoami(request: Request) -> Response:
        loop = asyncio.get_running_loop()
        return Response.json({"loop": type(loop).__module__, "pid": os.getpid(), "parent": os.getppid()})

    async def ticks(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for n in range(settings.ticks):
                yield b"data: %d\n\n" % n
                await asyncio.sleep(TICK_S)

        return Response.event_stream(chunks())

    return Function(
        routes=[Route("GET", "/whoami", whoami), Route("GET", "/ticks", ticks)], background=[background]
    )


demo = function("demo", Settings, build)
