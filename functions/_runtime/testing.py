"""A client for tests: it speaks to a function's application in the same event loop, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import orjson

from functions._runtime.outbound import Answer
from functions._runtime.serving.answering import Scope
from functions._runtime.serving.application import Application


class StreamUnderTest:
    """An answer that is being given: its head, and its pieces as the function sends them."""

    def __init__(self, messages: asyncio.Queue[dict[str, Any] | None], serving: asyncio.Task[None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._messages = messages
        self._serving = serving

    async def head(self) -> None:
        """Wait for status and headers."""
        message = await self._messages.get()
        if message is None:
            await self._serving
            raise AssertionError("The function ended without an answer.")
        self.status = message["status"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces; ConnectionError where the function broke off instead of ending its answer."""
        while (message := await self._messages.get()) is not None:
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                return
        raise ConnectionError("The function broke off its answer.")


class FunctionClient:
    """Asks `application`; `async with` closes the function at the end, as the server would."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._application.close()

    async def request(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """The whole answer."""
        async with self.stream(method, target, headers=headers, body=body) as stream:
            return Answer(stream.status, stream.headers, b"".join([chunk async for chunk in stream.chunks()]))

    async def post_json(
        self, target: str, document: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The whole answer to `document` as JSON."""
        named = {"content-type": "application/json", **(headers or {})}
        return await self.request("POST", target, headers=named, body=orjson.dumps(document))

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[StreamUnderTest]:
        """The answer as it comes; leaving the context before its end is a client that leaves."""
        given: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        left = asyncio.Event()
        sent = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in sent:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if not left.is_set():
                given.put_nowait(message)

        async def serve() -> None:
            try:
                await self._application(_scope(method, target, headers or {}, body), receive, send)
            finally:
                given.put_nowait(None)

        serving = asyncio.create_task(serve())
        stream = StreamUnderTest(given, serving)
        try:
            await stream.head()
            yield stream
        finally:
            left.set()
            await serving


def _scope(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Scope:
    path, _, query = target.partition("?")
    named = {"host": "function.test", "content-length": str(len(body)), **headers}
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()],
    }
