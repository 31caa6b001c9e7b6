"""The gateway over scripted servers: a test says what each answers, and sees what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from functions._runtime.errors import BadGateway, Problem, Unauthorized
from functions._runtime.http import Request, Response
from functions._runtime.ports import Principal
from functions._runtime.routing import Router
from functions.gateway import openai_errors
from functions.gateway.credentials import Credentials, ExchangeAtAuth
from functions.gateway.handler import Gateway
from functions.gateway.models import Models
from functions.gateway.service import MODEL_SERVICE, OURS
from functions.gateway.upstream import Patience, Upstream
from tests.functions.clocks import SettableClock

API_KEY = "hdl_" + "0" * 32 + "_" + "s" * 43
JWT = "a.b.c"
MODEL = "tiny"
PROBLEM = "application/problem+json"

Piece = bytes | Problem | asyncio.Event
"""Of a body: bytes, a failure to be raised, or a gate to wait at."""


@dataclass
class Scripted:
    """What a server answers; `closed_early` tells of a caller that left before the end."""

    status: int = 200
    body: list[Piece] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    begins_at: asyncio.Event | None = None
    closed_early: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Scripted:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, [orjson.dumps(value)], {"content-type": "application/json", **named})

    @classmethod
    def stream(cls, *body: Piece) -> Scripted:
        return cls(200, list(body), {"content-type": "text/event-stream; charset=utf-8"})


class OpenAnswer:
    def __init__(self, scripted: Scripted) -> None:
        self.status = scripted.status
        self.headers: Mapping[str, str] = scripted.headers
        self.left = deque(scripted.body)
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while self.left:
            assert not self.closed, "a connection is read that was closed"
            piece = self.left.popleft()
            if isinstance(piece, Problem):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            yield piece

    async def read(self, limit_bytes: int) -> bytes:
        body = b"".join([chunk async for chunk in self.chunks()])
        if len(body) > limit_bytes:
            raise BadGateway("Too long.")
        return body


@dataclass
class Asked:
    """A request as a server saw it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


Answers = Scripted | Problem | list["Scripted | Problem"]


@dataclass
class Servers:
    """Every server at once: answers by method and address; a list is gone through, its last one stays."""

    answers: dict[str, Answers] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        first_byte_s: float,
        gap_s: float | None = None,
    ) -> AsyncIterator[OpenAnswer]:
        self.asked.append(Asked(method, url, dict(headers or {}), body))
        answers = self.answers[f"{method} {url.partition('?')[0]}"]
        if isinstance(answers, list):
            answers = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answers, Problem):
            raise answers
        if answers.begins_at is not None:
            await answers.begins_at.wait()
        opened = OpenAnswer(answers)
        try:
            yield opened
        finally:
            answers.closed_early, opened.closed = bool(opened.left), True

    def to(self, server: str) -> list[Asked]:
        """What `server` was asked."""
        return [asked for asked in self.asked if asked.url.startswith(f"http://{server}/")]


class Tokens:
    """An identity that takes one JWT."""

    async def authenticate(self, authorization: str | None) -> Principal:
        if authorization != f"Bearer {JWT}":
            raise Unauthorized("The token isn't good.")
        return Principal("acct_someone", "default", frozenset({"member"}), JWT)


TOKEN_ANSWER = {"access_token": "key.to.token", "token_type": "Bearer", "expires_in": 300}
MODELS_ANSWER = {"object": "list", "data": [{"id": MODEL, "created": 7}, {"id": "org/name"}]}
COMPLETION = {"id": "chatcmpl-1", "object": "chat.completion", "choices": []}


@dataclass
class World:
    """One gateway."""

    servers: Servers = field(default_factory=Servers)
    clock: SettableClock = field(default_factory=SettableClock)

    def __post_init__(self) -> None:
        self.servers.answers = {
            "POST http://auth/token": Scripted.json(TOKEN_ANSWER),
            "GET http://inference/v1/models": Scripted.json(MODELS_ANSWER),
            "POST http://inference/v1/chat/completions": Scripted.json(COMPLETION),
            "POST http://chat/v1/chat/completions": Scripted.json(COMPLETION, hadal_position="7"),
        }
        patience = Patience(first_byte_s=30, heartbeat_s=15, silence_s=45)
        auth = self.auth = Upstream(self.servers, "The auth", "http://auth", OURS, patience)
        inference = Upstream(self.servers, "The inference", "http://inference", MODEL_SERVICE, patience)
        self.credentials = Credentials(Tokens(), ExchangeAtAuth(auth), self.clock)
        door = Gateway(
            credentials=self.credentials,
            models=Models(self.credentials, inference, self.clock),
            inference=inference,
            chat=Upstream(self.servers, "The chat", "http://chat", OURS, patience),
            history=Upstream(self.servers, "The history", "http://history", OURS, patience),
            auth=auth,
        )
        self.router = Router(door.routes())

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        bearer: str | None = API_KEY,
    ) -> Response:
        """The gateway's answer, errors in OpenAI's form as its callers get them."""
        sent = {"authorization": f"Bearer {bearer}"} if bearer is not None else {}
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        try:
            route, params = self.router.match(method, path.encode())
            request = Request(method, path, params, query or {}, {**sent, **(headers or {})}, content)
            return await route.handler(request)
        except Problem as problem:
            return openai_errors.rendered(problem, "req_test")

    async def complete(self, **fields: Any) -> Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **fields}
        return await self.call("POST", "/v1/chat/completions", body)


def document(response: Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    value = orjson.loads(response.body)
    assert isinstance(value, dict)
    return value


def error(response: Response) -> dict[str, Any]:
    """The error of an answer, which is in OpenAI's form whatever it is about."""
    body = document(response)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


async def events(response: Response) -> list[bytes]:
    assert not isinstance(response.body, bytes)
    return [chunk async for chunk in response.body]
