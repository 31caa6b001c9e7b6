"""HTTP as a scenario speaks it: an address, and any host name at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from .place import Answer, CutOff

ANSWERED_WITHIN_S = 60.0


class HttpResponse:
    """`Response` over aiohttp's."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Response.pieces`."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CutOff(str(error)) from None

    async def whole(self) -> Answer:
        """See `Response.whole`."""
        body = b"".join([piece async for piece in self.pieces()])
        headers = [(name.lower(), value) for name, value in self._response.headers.items()]
        return Answer(self.status, headers, body)


class Door:
    """An HTTP address."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    @asynccontextmanager
    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, host: str | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send a request, under another host's name where one is given; `CutOff` where no answer comes."""
        named = {**headers, "host": host} if host else dict(headers)
        timeout = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
        options = {"headers": named, "data": body or None, "timeout": timeout, "allow_redirects": False}
        try:
            sent = self._session.request(method, self._url + path, **options)  # type: ignore[arg-type]
            response = await sent.__aenter__()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CutOff(f"{method} {path}: {error}") from None
        try:
            yield HttpResponse(response)
        finally:
            response.close()

    async def close(self) -> None:
        """Let go of its connections."""
        await self._session.close()
