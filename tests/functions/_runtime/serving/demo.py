"""A function for the tests of serving: routes that answer, stream, wait and fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from functions._runtime.errors import NotFound, Unavailable
from functions._runtime.function import Function, Ground, application
from functions._runtime.http import Request, Response, Route
from functions._runtime.serving.application import Application
from functions._runtime.settings import variable


@dataclass(frozen=True, slots=True)
class Settings:
    word: str = variable("DEMO_WORD", default="hello")


@dataclass
class Demo:
    """What the tests steer and see."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)
    stream_closed: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    background_ended: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    failures_left: int = 0
    missing: str = ""
    produced: int = 0
    order: list[str] = field(default_factory=list)

    async def build(self, settings: Settings, ground: Ground) -> Function:
        if self.failures_left:
            self.failures_left -= 1
            raise Unavailable("the store is away")
        ground.stack.callback(self.closed.set)
        ground.stack.callback(lambda: self.order.append("stack closed"))
        self.settings = settings
        return Function(
            routes=[
                Route("GET", "/things/{id}", self.thing),
                Route("POST", "/echo", self.echo),
                Route("GET", "/stream", self.stream),
                Route("GET", "/flood", self.flood),
                Route("GET", "/wait", self.wait, ends_with_client=True),
                Route("GET", "/secret-failure", self.secret_failure),
                Route("GET", "/broken-stream", self.broken_stream),
            ],
            background=[self.background],
            ready={"store": self.check},
        )

    async def check(self) -> None:
        if self.missing:
            raise Unavailable(self.missing)

    async def background(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.order.append("background ended")
            self.background_ended.set()

    async def thing(self, request: Request) -> Response:
        if request.path_params["id"] == "absent":
            raise NotFound("There is no such thing.", param="id")
        return Response.json({"id": request.path_params["id"], "query": dict(request.query)})

    async def echo(self, request: Request) -> Response:
        return Response.json({"bytes": len(request.body), "json": request.json_object()})

    async def stream(self, request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield b"data: 1\n\n"
                await self.go_on.wait()
                yield b"data: 2\n\n"
            finally:
                self.stream_closed.set()

        return Response.event_stream(chunks())

    async def flood(self, request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                self.produced += 1
                yield b"x" * 1024

        return Response(200, chunks())

    async def wait(self, request: Request) -> Response:
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response.json({})

    async def secret_failure(self, request: Request) -> Response:
        raise ValueError(f"canary-in-exception {request.headers}")

    async def broken_stream(self, request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise ValueError("canary-in-exception")

        return Response.event_stream(chunks())

    def application(self, environ: Mapping[str, str] | None = None) -> Application:
        return application("demo", Settings, self.build, environ or {})
