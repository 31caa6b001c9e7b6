"""`history` under the stock command, on SQLite: events by HTTP, reads by the `openai` SDK, a rebuild."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import openai
import orjson
import pytest
from aiohttp import ClientSession, web
from joserfc import jwt
from joserfc.jwk import ECKey

from events import CloudEvent, jsonformat
from events import http as events_http
from tests.functions.history.world import CONVERSATION, published, story
from tests.functions.stock import Running, running

SECRET = "history-" + "s" * 32

pytestmark = pytest.mark.slow


@dataclass
class Neighbours:
    """`auth` and `chat`, as far as `history` asks them."""

    url: str = ""
    feed: Sequence[CloudEvent] = ()
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"}))

    @property
    def environ(self) -> dict[str, str]:
        return {"HADAL_ISSUER": self.url, "AUTH_URL": self.url, "CHAT_URL": self.url, "CLIENT_SECRET": SECRET}

    def token(self, subject: str, role: str) -> str:
        now_s = int(time.time())
        claims = {"iss": self.url, "aud": "hadal", "sub": subject, "tenant": "team", "roles": [role]}
        times = {"iat": now_s, "exp": now_s + 300, "jti": "1"}
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, {**claims, **times}, self.key)

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def own_token(self, request: web.Request) -> web.Response:
        if (await request.post()).get("client_secret") != SECRET:
            return web.json_response({"error": "invalid_client"}, status=401)
        token = self.token("history", "service")
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 300})

    async def events(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        page = self.feed[after : after + 3]
        told = b",".join(jsonformat.to_json(event) for event in page)
        body = b'{"events":[%b],"last":%d}' % (told, after + len(page))
        return web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def neighbours() -> AsyncIterator[Neighbours]:
    met = Neighbours()
    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", met.keys)
    app.router.add_post("/token", met.own_token)
    app.router.add_get("/v1/events", met.events)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        met.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield met
    finally:
        await runner.cleanup()


async def deliver(http: ClientSession, function: Running, event: CloudEvent) -> int:
    headers, body = events_http.to_binary(event)
    named = {name.decode(): value.decode() for name, value in headers}
    async with http.post(f"{function.url}/", data=body, headers=named) as answer:
        assert not await answer.read() or answer.status >= 400
        return answer.status


async def listed(met: Neighbours, function: Running) -> list[str]:
    """The texts of the conversation's items, oldest first, by the SDK's own pages."""
    async with openai.AsyncOpenAI(base_url=f"{function.url}/v1", api_key=met.token("ada", "member")) as ada:
        assert (await ada.conversations.retrieve(CONVERSATION)).metadata == {"topic": "whales"}
        items = ada.conversations.items.list(CONVERSATION, order="asc", limit=2)
        shown = [item.to_dict() async for item in items]
        return [item["content"][0]["text"] for item in shown]  # type: ignore[index]


async def test_what_the_broker_delivers_is_read_by_the_openai_sdk(tmp_path: Path) -> None:
    """Promises 40 and 45: duplicates, a restart, and a rebuild change nothing."""
    events = published(story())
    async with neighbours() as met:
        environ = {**met.environ, "HADAL_STORE": f"sqlite:{tmp_path}/history.db"}
        async with running("history", environ, tmp_path) as function, ClientSession() as http:
            for event in [*events[:4], *events]:
                assert await deliver(http, function, event) == 204
            texts = await listed(met, function)
            assert texts[:3] == ["hello", "question 1", "answer 1"]
        async with running("history", environ, tmp_path) as function, ClientSession() as http:
            assert await listed(met, function) == texts
            met.feed = events
            headers = {"authorization": f"Bearer {met.token('ops', 'admin')}"}
            async with http.post(f"{function.url}/v1/rebuild", headers=headers) as answer:
                assert orjson.loads(await answer.read()) == {"generation": 2, "events": len(events)}
            assert await listed(met, function) == texts


async def test_an_event_that_is_none_of_chats_is_refused_for_good(tmp_path: Path) -> None:
    """Promise 39: 422, so that the broker gives up at once."""
    spoofed = replace(published(story())[0], source="/somebody/else")
    async with (
        neighbours() as met,
        running("history", met.environ, tmp_path) as function,
        ClientSession() as http,
    ):
        assert await deliver(http, function, spoofed) == 422
        async with http.post(f"{function.url}/", data=b"{}") as answer:
            assert answer.status == 400
