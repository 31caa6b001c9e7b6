"""Calls to other servers: one pooled client a process, with the trace and the deadlines on every call.

aiohttp stands behind it, loaded at the first call: its import takes as long as the rest of a cold start.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from functions._runtime.errors import BadGateway, Unavailable
from functions._runtime.tracing import current_trace

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 5.0
ANSWER_LIMIT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's whole answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            BadGateway: it isn't.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise BadGateway("A server behind this one answered with something that isn't JSON.") from None


class StreamedAnswer:
    """A server's answer as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, host: str, gap_s: float | None) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._host = host
        self._gap_s = gap_s

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body's bytes as they come, in whatever pieces.

        Raises:
            Unavailable: nothing came for longer than `gap_s`.
            BadGateway: the server broke off.
        """
        content = self._response.content
        while True:
            with _translated(self._host):
                async with asyncio.timeout(self._gap_s):
                    chunk = await content.readany()
            if not chunk:
                return
            yield chunk

    async def read(self, limit_bytes: int = ANSWER_LIMIT_BYTES) -> bytes:
        """The rest of the body.

        Raises:
            BadGateway: it is longer than `limit_bytes`, or the server broke off.
            Unavailable: nothing came for longer than `gap_s`.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit_bytes:
                raise BadGateway(f"{self._host} answered with more than {limit_bytes} bytes.")
        return bytes(body)


class HttpClient:
    """The way out. `http_proxy` and `no_proxy` are honoured as they stood in `environ` at the start.

    Nothing is tried again here, redirects aren't followed, and cookies aren't kept.
    """

    def __init__(self, environ: Mapping[str, str], stack: AsyncExitStack) -> None:
        self._proxy = environ.get("http_proxy") or environ.get("HTTP_PROXY") or None
        listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        self._direct = tuple(host.strip().lstrip(".").lower() for host in listed.split(",") if host.strip())
        self._stack = stack
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float,
        limit_bytes: int = ANSWER_LIMIT_BYTES,
    ) -> Answer:
        """The whole answer within `timeout_s`, whatever its status.

        Raises:
            Unavailable: the server can't be reached, or took too long.
            BadGateway: it broke off, or answered with something that isn't HTTP or is too long.
        """
        with _translated(urlsplit(url).netloc):
            async with (
                asyncio.timeout(timeout_s),
                self.stream(method, url, headers=headers, body=body, first_byte_s=timeout_s) as answer,
            ):
                return Answer(answer.status, answer.headers, await answer.read(limit_bytes))

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
    ) -> AsyncIterator[StreamedAnswer]:
        """The answer as it comes; leaving the context before its end closes the connection.

        `first_byte_s` is how long its head may take, `gap_s` how long the body may pause.

        Raises:
            Unavailable: the server can't be reached, or took too long.
            BadGateway: it broke off, or answered with something that isn't HTTP.
        """
        host = urlsplit(url).netloc
        session = self._session or await self._open()
        with _translated(host):
            async with asyncio.timeout(first_byte_s):
                response = await session.request(
                    method,
                    url,
                    headers=_with_trace(headers),
                    data=body,
                    proxy=self._proxy_for(url),
                    allow_redirects=False,
                )
        try:
            yield StreamedAnswer(response, host, gap_s)
        finally:
            if response.content.is_eof():
                response.release()
            else:
                response.close()

    def _proxy_for(self, url: str) -> str | None:
        if self._proxy is None or not url.startswith("http://"):
            return None
        host = (urlsplit(url).hostname or "").lower()
        direct = any(entry == "*" or host == entry or host.endswith("." + entry) for entry in self._direct)
        return None if direct else self._proxy

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = await self._stack.enter_async_context(_session())
            return self._session


def _session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # admission is the caller's matter, not the pool's
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )


class _translated:  # noqa: N801  (reads as a phrase: `with _translated(host)`)
    """Turns the client's exceptions into ours, without their text."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, TimeoutError):
            raise Unavailable(f"{self._host} took too long to answer.", retry_after_s=1) from None
        import aiohttp

        if isinstance(error, aiohttp.ClientConnectorError):
            raise Unavailable(f"{self._host} can't be reached.", retry_after_s=1) from None
        if isinstance(error, aiohttp.ClientError | OSError):
            raise BadGateway(f"{self._host} broke off or answered with something that isn't HTTP.") from None


def _with_trace(headers: Mapping[str, str] | None) -> dict[str, str]:
    trace = current_trace.get()
    return {**(trace.headers() if trace else {}), **(headers or {})}
