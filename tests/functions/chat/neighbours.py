"""Whom `chat` speaks to, in one server of real HTTP: `auth`'s keys, the model, the Broker's ingress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from events import CloudEvent
from events import http as events_http
from tests.functions.chat.world import USAGE

MODEL = "echo"


@dataclass
class Neighbours:
    """What they were told, and what the model does next.

    Attributes:
        words: what the model says, one a chunk; an Event is waited for.
        left: set when a client of the model went away.
        events: what the Broker took, in order.
    """

    url: str = ""
    words: Sequence[str | asyncio.Event] = ("Hello", " there")
    asked: list[Any] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    events: list[CloudEvent] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"}))

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a `chat` among these."""
        return {"INFERENCE_URL": self.url, "HADAL_ISSUER": self.url, "K_SINK": f"{self.url}/hadal/default"}

    def token(self, subject: str = "ann", tenant: str = "team", role: str = "member") -> str:
        """An access token of `auth`."""
        now_s = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "hadal",
            "sub": subject,
            "tenant": tenant,
            "roles": [role],
            "iat": now_s,
            "exp": now_s + 300,
            "jti": "1",
        }
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, claims, self.key)

    async def published(self, count: int) -> list[str]:
        """The names of the facts that the Broker has, once there are `count`, each as often as it came."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len({event.id for event in self.events}) >= count)
        return [event.type.split(".")[3] for event in self.events]

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def info(self, _: web.Request) -> web.Response:
        return web.json_response({"max_total_tokens": 8192})

    async def ingress(self, request: web.Request) -> web.Response:
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
        async with self.arrived:
            self.events.append(events_http.decode_one(headers, await request.read()))
            self.arrived.notify_all()
        return web.Response(status=202)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        try:
            return await (self._stream(request) if body.get("stream") else self._whole())
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        async for word in self._said():
            await response.write(_frame({"index": 0, "delta": {"content": word}, "finish_reason": None}))
        await response.write(_frame({"index": 0, "delta": {}, "finish_reason": "stop"}))
        await response.write(_frame(usage=USAGE) + b"data: [DONE]\n\n")
        return response

    async def _whole(self) -> web.Response:
        message = {"role": "assistant", "content": "".join([word async for word in self._said()])}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})

    async def _said(self) -> AsyncIterator[str]:
        for word in self.words:
            if isinstance(word, str):
                yield word
            else:
                await word.wait()


_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}


def _frame(*choices: dict[str, Any], usage: dict[str, int] | None = None) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({**_HEAD, "choices": choices, "usage": usage})


@asynccontextmanager
async def neighbours() -> AsyncIterator[Neighbours]:
    """All of them, listening."""
    met = Neighbours()
    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", met.keys)
    app.router.add_get("/info", met.info)
    app.router.add_post("/v1/chat/completions", met.complete)
    app.router.add_post("/hadal/default", met.ingress)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        met.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield met
    finally:
        await runner.cleanup()
