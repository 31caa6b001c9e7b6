"""A model service of a few lines over real HTTP, whose next answers are a test's to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

MODEL = "tiny"
WORDS = ("Under", " the", " sea")
USAGE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


def chunk(text: str | None, finish_reason: str | None = None) -> bytes:
    """One event of a streamed completion."""
    delta = {"role": "assistant", "content": text} if text is not None else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: %s\n\n" % orjson.dumps({**body, "choices": [choice]})


async def opened(request: web.Request) -> web.StreamResponse:
    """A stream whose head is out."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    return response


async def answer(request: web.Request) -> web.StreamResponse:
    """A good answer, streamed if that was asked for."""
    if not (await request.json()).get("stream"):
        message = {"role": "assistant", "content": "".join(WORDS)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
        return web.json_response({**body, "choices": [choice], "usage": USAGE})
    response = await opened(request)
    for word in WORDS:
        await response.write(chunk(word))
    await response.write(chunk(None, "stop") + b"data: [DONE]\n\n")
    return response


@dataclass
class ModelServer:
    """Where it is, what it was asked, and what it does at the next request."""

    port: int = 0
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    behaviour: Behaviour = answer
    left: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, at the second time where it did at the first."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.json()))
        try:
            return await self.behaviour(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """One on a free port of loopback, gone at the end."""
    server = ModelServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
