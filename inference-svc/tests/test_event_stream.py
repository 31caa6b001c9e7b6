from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from inference.engine.port import EngineLoad
from inference.http import event_stream
from inference.metrics import Metrics
from tests.fake_loader import FakeLoader
from tests.service import fake_model


async def test_an_idle_stream_is_kept_open_by_comments() -> None:
    metrics = Metrics(lambda: EngineLoad(0, 0), FakeLoader().pool(fake_model("a")))
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        async with event_stream(request, metrics, openai=True, headers={}, keep_alive_s=0.001) as (
            stream,
            response,
        ):
            await go_on.wait()
            await stream.send({"a": 1})
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as http,
        http.get(server.make_url("/")) as response,
    ):
        assert await response.content.readuntil(b"\n\n") == b":\n\n"
        go_on.set()
        rest = (await response.read()).replace(b":\n\n", b"")
    assert rest == b'data: {"a":1}\n\ndata: [DONE]\n\n'
