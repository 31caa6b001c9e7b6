"""From ASGI's messages to a request, and from an answer to ASGI's messages (ASGI HTTP specification 2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from functions._runtime.errors import BadRequest, PayloadTooLarge
from functions._runtime.http import Response

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_QUERY_FIELDS = 100
_CHUNKS_IN_A_ROW = 64


class ClientLeft(Exception):
    """The client closed the connection before it had the whole answer."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers; of a repeated name the last value."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def query_of(scope: Scope) -> dict[str, str]:
    """The query's fields; of a repeated one the last value.

    Raises:
        BadRequest: it isn't UTF-8 in percent-encoding, or has too many fields.
    """
    text: bytes = scope["query_string"]
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS
        )
    except ValueError:
        raise BadRequest(
            "The query can't be read; send UTF-8 in percent-encoding, at most 100 fields."
        ) from None
    return dict(pairs)


async def body_of(scope: Scope, headers: dict[str, str], receive: Receive, limit_bytes: int) -> bytes:
    """The request's whole body.

    Raises:
        PayloadTooLarge: it is longer than `limit_bytes`; what has come is let go.
        ClientLeft: the client went away in the middle.
    """
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer(response: Response, request_id: str, receive: Receive, send: Send) -> None:
    """Send `response`; a stream's iterator is closed when it has ended, failed, or lost its client.

    Raises:
        ClientLeft: the client went away in the middle of a stream.
    """
    body = response.body
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    headers.append((b"x-request-id", request_id.encode("latin-1")))
    if response.media_type is not None:
        headers.append((b"content-type", response.media_type.encode("latin-1")))
    if isinstance(body, bytes):
        if response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await while_client_stays(_pump(body, send), receive)


async def while_client_stays(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """What `work` returns; it is cancelled, and has ended, when the client has left.

    Raises:
        ClientLeft: the client left first.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_departure(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pump(chunks: AsyncIterator[bytes], send: Send) -> None:
    try:
        count = 0
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            count += 1
            if count % _CHUNKS_IN_A_ROW == 0:
                # A stream that never waits would keep the loop, and the news that its client left, to itself.
                await asyncio.sleep(0)
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    await send({"type": "http.response.body", "body": b""})


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than {limit_bytes} bytes.")
