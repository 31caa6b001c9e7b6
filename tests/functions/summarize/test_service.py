"""`summarize` under the stock command, on SQLite, between servers of real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from events import CloudEvent, catalogue
from events import http as events_http
from events.chat import CHAT, SUMMARIZE, ConversationSummarized, TurnCompleted, Usage
from tests.functions.stock import Running, running

SECRET = "summarize-" + "s" * 32
CONVERSATION = "conv_1"

pytestmark = pytest.mark.slow


@dataclass
class Neighbours:
    """`auth`, `chat` and the model service, as far as `summarize` asks them.

    Attributes:
        fails: how many of the coming calls of the model fail.
    """

    url: str = ""
    fails: int = 0
    asked: list[Any] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        urls = {
            "HADAL_ISSUER": self.url,
            "AUTH_URL": self.url,
            "CHAT_URL": self.url,
            "INFERENCE_URL": self.url,
        }
        return {**urls, "CLIENT_SECRET": SECRET}

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert (form["client_id"], form["client_secret"], form["tenant"]) == ("summarize", SECRET, "team")
        return web.json_response({"access_token": "h.c.s", "token_type": "Bearer", "expires_in": 300})

    async def context(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer h.c.s"
        assert request.match_info["id"] == CONVERSATION
        messages = [
            {"role": "user", "content": "What sings?"},
            {"role": "assistant", "content": "Whales do."},
        ]
        turns = [{"turn_id": "turn_1", "version": 3, "messages": messages}]
        return web.json_response(
            {"conversation_id": CONVERSATION, "version": 11, "summary": None, "turns": turns}
        )

    async def complete(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        if self.fails:
            self.fails -= 1
            return web.json_response({"error": "out of memory", "error_type": "generation"}, status=500)
        message = {"role": "assistant", "content": "They spoke of whales."}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@asynccontextmanager
async def neighbours() -> AsyncIterator[Neighbours]:
    met = Neighbours()
    app = web.Application()
    app.router.add_post("/token", met.token)
    app.router.add_get("/v1/conversations/{id}/context", met.context)
    app.router.add_post("/v1/chat/completions", met.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        met.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield met
    finally:
        await runner.cleanup()


def completed() -> CloudEvent:
    fact = TurnCompleted(CONVERSATION, "turn_5", "echo", (), "stop", Usage(1, 1))
    return catalogue.to_event(
        fact,
        id="evt_1",
        source=CHAT,
        time="2026-01-31T12:00:00Z",
        subject=CONVERSATION,
        tenant="team",
        partitionkey=CONVERSATION,
        extensions={"summarydue": "true"},
    )


async def deliver(function: Running, event: CloudEvent) -> tuple[int, CloudEvent | None]:
    """Status and reply of one delivery."""
    headers, body = events_http.to_binary(event)
    named = {name.decode(): value.decode() for name, value in headers}
    async with ClientSession() as http, http.post(f"{function.url}/", data=body, headers=named) as answer:
        reply = await answer.read()
        if answer.status != 200:
            return answer.status, None
        given = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        return answer.status, events_http.decode_one(given, reply)


async def test_a_due_turn_is_answered_with_the_summary_and_costs_one_generation(tmp_path: Path) -> None:
    """Promise 40: a repeated event gets the stored reply, also from another process."""
    async with neighbours() as met:
        environ = {**met.environ, "HADAL_STORE": f"sqlite:{tmp_path}/summarize.db"}
        async with running("summarize", environ, tmp_path) as function:
            status, reply = await deliver(function, completed())
            assert status == 200
            assert reply is not None
            assert (reply.source, reply.subject, reply.extensions["tenant"]) == (
                SUMMARIZE,
                CONVERSATION,
                "team",
            )
            fact = catalogue.from_event(reply)
            assert fact == ConversationSummarized(CONVERSATION, "They spoke of whales.", 3, "echo")
        async with running("summarize", environ, tmp_path) as function:
            assert await deliver(function, completed()) == (200, reply)
        assert len(met.asked) == 1


async def test_a_model_that_fails_is_asked_again_by_the_brokers_next_try(tmp_path: Path) -> None:
    """Promise 51: 503, so that the broker tries again."""
    async with neighbours() as met, running("summarize", met.environ, tmp_path) as function:
        met.fails = 1
        assert await deliver(function, completed()) == (503, None)
        status, reply = await deliver(function, completed())
        assert status == 200
        assert reply is not None
