"""A server behind the gateway: asked over HTTP, its answer passed back, its errors in OpenAI's form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from functions._runtime.errors import BadGateway, Unavailable
from functions._runtime.http import Response
from functions.gateway.relay import relayed

RETRY_AFTER_S = 1
LONGEST_ERROR_BYTES = 64 * 1024
LONGEST_ANSWER_BYTES = 32 * 1024 * 1024
_PASSED_BACK = ("hadal-position", "retry-after", "cache-control")


class Answer(Protocol):
    """An answer whose head has come; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; see `relay.Chunks`."""
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """The rest of the body.

        Raises:
            BadGateway: it is longer than `limit_bytes`, or broke off.
            Unavailable: it paused for too long.
        """
        ...


class HttpClient(Protocol):
    """The way to other servers."""

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        first_byte_s: float,
        gap_s: float | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """An answer as it comes; leaving the context before its end closes the connection.

        Raises:
            Unavailable: the server can't be reached, or its head took longer than `first_byte_s`.
            BadGateway: it broke off, or answered with something that isn't HTTP.
        """
        ...


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How a kind of server says that something went wrong, in OpenAI's form.

    Attributes:
        answer: status and body to give for an error's status and body.
        event: the event to send for the data of an error event in a stream.
    """

    answer: Callable[[int, bytes], tuple[int, dict[str, Any]]]
    event: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take: to begin, between two signs of life to the client, and in all silence."""

    first_byte_s: float
    heartbeat_s: float
    silence_s: float


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server, at `url`; `name` is what callers are told it is, who don't need to know where it is."""

    http: HttpClient
    name: str
    url: str
    errors: ErrorForm
    patience: Patience

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """The server's own answer, whatever it is.

        Raises:
            Unavailable: the server can't be reached, or took too long.
            BadGateway: it broke off, or answered with something that can't be read.
        """
        try:
            async with self.http.stream(
                method,
                self.url + path,
                headers={"accept-encoding": "identity", **headers},
                body=body,
                first_byte_s=self.patience.first_byte_s,
                gap_s=self.patience.heartbeat_s,
            ) as answer:
                yield answer
        except Unavailable:
            message = f"{self.name} can't be reached, or took too long to answer; try again."
            raise Unavailable(message, retry_after_s=RETRY_AFTER_S) from None
        except BadGateway:
            raise BadGateway(
                f"{self.name} broke off, or answered with something that can't be read."
            ) from None

    async def response(
        self, method: str, path: str, headers: Mapping[str, str], sent: bytes | None = None
    ) -> Response:
        """The server's answer for the client: a stream as it comes, anything else whole.

        Raises:
            Unavailable, BadGateway: there is none.
        """
        async with AsyncExitStack() as connection:
            answer = await connection.enter_async_context(self.ask(method, path, headers, sent))
            passed = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            if answer.status >= 300:
                error = await answer.read(LONGEST_ERROR_BYTES)
                status, document = self.errors.answer(answer.status, error)
                if status == 503:
                    passed.setdefault("retry-after", str(RETRY_AFTER_S))
                return Response.json(document, status, passed)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/event-stream":
                silences = max(1, round(self.patience.silence_s / self.patience.heartbeat_s))
                events = relayed(answer, connection.pop_all(), silences, self.errors.event)
                return Response.event_stream(events, passed)
            body = await answer.read(LONGEST_ANSWER_BYTES)
            if kind != "application/json" or not _is_json(body):
                raise BadGateway("It is no JSON.")
            return Response(answer.status, body, passed, kind)


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
