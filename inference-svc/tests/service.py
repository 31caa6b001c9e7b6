"""The HTTP service around a fake engine, in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from inference.app import make_app
from inference.chat_template import ChatTemplate
from inference.engine.grammar import GrammarCompiler
from inference.limits import Limits
from inference.loaded_model import LoadedModel
from inference.serving import Serving
from tests.byte_tokenizer import END, ids_of, make_byte_tokenizer
from tests.fake_engine import FakeEngine
from tests.fake_loader import FakeLoader

TEMPLATE = (
    "{% for message in messages %}{{ '' if loop.first else '\n' }}"
    "[{{ message['role'] }}]{{ message['content'] }}"
    "{% endfor %}{{ '\n[assistant]' if add_generation_prompt else '' }}"
)
LIMITS = Limits(
    max_input_tokens=48,
    max_total_tokens=64,
    max_concurrent_requests=2,
    max_best_of=2,
    max_stop_sequences=4,
    max_top_n_tokens=5,
    max_client_batch_size=2,
)


def fake_model(
    answer: str,
    *,
    limits: Limits = LIMITS,
    gated: bool = False,
    template: str = TEMPLATE,
    marks: tuple[str, ...] = (),
    special: bool = False,
    name: str = "fake-model",
    adapters: tuple[str, ...] = (),
    **behaviour: Any,
) -> LoadedModel:
    """A model that answers `answer` to everything."""
    tokenizer = make_byte_tokenizer(*marks, special=special)
    end_id = tokenizer.token_id(END)
    assert end_id is not None
    gate = asyncio.Semaphore(0) if gated else None
    engine = FakeEngine(ids_of(tokenizer, answer), end_id, gate, **behaviour)
    engine.description = replace(
        engine.description, adapters=frozenset(adapters), adapter_bytes=4 * len(adapters)
    )
    grammars = GrammarCompiler(tokenizer.to_json(), [end_id])
    chat_template = ChatTemplate(template, {})
    return LoadedModel(name, None, engine, tokenizer, chat_template, limits, grammars)


@dataclass(frozen=True)
class Service:
    """A running service; `engine` is its fake."""

    url: str
    http: aiohttp.ClientSession
    serving: Serving
    model: LoadedModel

    @property
    def engine(self) -> FakeEngine:
        assert isinstance(self.model.engine, FakeEngine)
        return self.model.engine

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        async with self.http.post(self.url + path, json=body) as response:
            return response.status, orjson.loads(await response.read())

    async def events(self, path: str, body: object) -> list[bytes]:
        """The data of every event of a stream, after its prefix `data:`."""
        async with self.http.post(self.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            lines = (await response.read()).split(b"\n\n")
        return [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]


@asynccontextmanager
async def running(
    model: LoadedModel,
    *,
    ready: bool = True,
    loader: FakeLoader | None = None,
    payload_limit_bytes: int = 10_000,
) -> AsyncIterator[Service]:
    """Serve a model, and those of the loader, on a free port of this machine until the block ends."""
    loader = loader or FakeLoader()
    serving = Serving(loader.pool(model))
    if ready:
        await serving.start()
    runner = web.AppRunner(
        make_app(serving, payload_limit_bytes), handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        url = "http://{}:{}".format(*listener.getsockname())
        try:
            async with aiohttp.ClientSession() as http:
                yield Service(url, http, serving, model)
        finally:
            await runner.cleanup()
