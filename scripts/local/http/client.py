"""Requests over connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .errors import BadResponse, ConnectFailed, TimedOut
from .head import Header, Headers, field_lines, find
from .response import ClientConnection, ClientResponse

Address = tuple[str, int, bool]
"""Host, port, and whether TLS is spoken there."""

CHUNKED = b"transfer-encoding: chunked\r\n"
IDEMPOTENT = (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE")
WITHOUT_BODY = (b"GET", b"HEAD", b"DELETE", b"OPTIONS")


class Client:
    """A pool of connections by address.

    An idle connection is used again for `idle_s` at most: less than the 5 s after which uvicorn closes it,
    so that a request hardly ever meets a close.
    """

    def __init__(
        self, *, connect_timeout_s: float = 5.0, idle_s: float = 4.0, max_idle_per_address: int = 256
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._max_idle = max_idle_per_address
        self._idle: dict[Address, list[ClientConnection]] = {}

    async def request(
        self,
        method: bytes,
        host: str,
        port: int,
        target: bytes,
        headers: Headers = (),
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        timeout_s: float | None = None,
        tls: bool = False,
    ) -> ClientResponse:
        """Send a request and wait for the head of its answer.

        Names of `headers` are in lower case; `host`, and `content-length` or `transfer-encoding`, are added
        where they are missing. `timeout_s` bounds the exchange up to the last byte of the answer. Cancelling
        closes the connection. A body that comes as an iterator can't be sent twice, so it gets a fresh
        connection; other requests use a kept one. Where that was closed before a byte of an answer came, a
        request of an idempotent method is sent once more (RFC 9110 section 9.2.2); another may have been
        carried out, and isn't. Raises `ConnectFailed`, `TimedOut`, `BadResponse`.
        """
        fields = list(headers)
        address = (host, port, tls)
        bodiless = method == b"HEAD"
        if not isinstance(body, bytes):
            chunked = find(fields, b"content-length") is None
            head = _head(method, host, port, target, fields, CHUNKED if chunked else b"")
            connection = await self._connect(address, timeout_s)
            answer = connection.exchange(head, b"", bodiless=bodiless, timeout_s=timeout_s)
            connection.send_stream(body, chunked=chunked)
            return await _answer(connection, answer)
        head = _head(method, host, port, target, fields, _length(method, fields, body))
        kept = self._kept(address)
        if kept is not None:
            try:
                return await _answer(kept, kept.exchange(head, body, bodiless=bodiless, timeout_s=timeout_s))
            except BadResponse:
                if kept.answered_any or method not in IDEMPOTENT:
                    raise
        connection = await self._connect(address, timeout_s)
        return await _answer(
            connection, connection.exchange(head, body, bodiless=bodiless, timeout_s=timeout_s)
        )

    def forget(self, host: str, port: int) -> None:
        """Close the idle connections to an address that is no more."""
        for tls in (False, True):
            for connection in self._idle.pop((host, port, tls), ()):
                connection.abort()

    async def close(self) -> None:
        """Close every idle connection."""
        for host, port, _ in tuple(self._idle):
            self.forget(host, port)

    def _kept(self, address: Address) -> ClientConnection | None:
        idle = self._idle.get(address)
        if not idle:
            return None
        oldest_of_use = asyncio.get_running_loop().time() - self._idle_s
        while idle:
            connection = idle.pop()
            if connection.closed:
                continue
            if connection.idle_since >= oldest_of_use:
                return connection
            connection.abort()
        return None

    async def _connect(self, address: Address, timeout_s: float | None) -> ClientConnection:
        host, port, tls = address
        name = f"{host}:{port}"
        wait_s = self._connect_timeout_s if timeout_s is None else min(self._connect_timeout_s, timeout_s)
        loop = asyncio.get_running_loop()

        def made() -> ClientConnection:
            return ClientConnection(name, lambda connection: self._keep(address, connection))

        try:
            async with asyncio.timeout(wait_s):
                _, connection = await loop.create_connection(made, host, port, ssl=tls or None)
        except TimeoutError:
            if timeout_s is not None and timeout_s <= self._connect_timeout_s:
                raise TimedOut(f"{name} didn't accept a connection within {wait_s:g} s") from None
            raise ConnectFailed(f"{name} didn't accept a connection within {wait_s:g} s") from None
        except OSError as error:
            raise ConnectFailed(f"{name} can't be reached: {error.strerror or error}") from None
        return connection

    def _keep(self, address: Address, connection: ClientConnection) -> None:
        idle = self._idle.setdefault(address, [])
        if len(idle) >= self._max_idle:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)


async def _answer(connection: ClientConnection, head: asyncio.Future[ClientResponse]) -> ClientResponse:
    try:
        return await head
    except asyncio.CancelledError:
        connection.abort()
        raise


def _length(method: bytes, fields: list[Header], body: bytes) -> bytes:
    if find(fields, b"content-length") is not None or (not body and method in WITHOUT_BODY):
        return b""
    return b"content-length: %d\r\n" % len(body)


def _head(method: bytes, host: str, port: int, target: bytes, fields: list[Header], framing: bytes) -> bytes:
    if b" " in target or b"\r" in target or b"\n" in target:
        raise ValueError("a request target contains a space or a line break")
    host_line = b"" if find(fields, b"host") is not None else b"host: %b:%d\r\n" % (host.encode(), port)
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method, target, host_line, field_lines(fields), framing)
