"""A request handed on to a Service, and its answer handed back, piece by piece as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from scripts.local.http import ClientResponse, HttpError, Request, TimedOut
from scripts.local.http.forwarded import forwarded, request_id
from scripts.local.http.head import Header, end_to_end, find

from .activator import Activator
from .addresses import Address
from .errors import NoReplica, NoSuchService

log = logging.getLogger(__name__)

TEXT = (b"content-type", b"text/plain; charset=utf-8")
FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))


async def forward(
    request: Request, activator: Activator, address: Address, target: bytes, *, edge: bool
) -> None:
    """Answer `request` by what is at `address` says to it.

    `edge`: the client is outside, so what it says about itself in forwarding fields isn't passed on. When the
    client leaves, this task is cancelled, which closes the exchange with the process.
    """
    body = request.body_now()
    service = address.service
    try:
        response = await activator.request(
            service,
            request.method,
            target,
            _headers(request, edge=edge),
            request.stream() if body is None else body,
            tag=address.tag,
        )
    except HttpError as error:
        _refuse(request, service, error)
        return
    try:
        await _relay(request, response, activator.idle_timeout_s(service))
    finally:
        response.close()


def refuse(request: Request, status: int, reason: str) -> None:
    """Answer with a line of text."""
    headers = (TEXT, (b"retry-after", b"1")) if status == 503 else (TEXT,)
    request.reply(status, headers, f"{reason}\n".encode())


async def _relay(request: Request, response: ClientResponse, idle_s: float | None) -> None:
    headers = end_to_end(response.headers)
    whole = response.body_now()
    if whole is not None and request.method != b"HEAD" and response.status not in (204, 304):
        dated = find(headers, b"date") is not None
        kept = [field for field in headers if field[0] != b"content-length"]
        request.reply(response.status, kept, whole, dated=dated)
        return
    reply = request.start(response.status, headers)
    stream = response.stream()
    try:
        async for piece in stream if idle_s is None else _timed(stream, idle_s):
            await reply.write(piece)
    except HttpError as error:
        log.warning("an answer was cut off: %s", error)
        reply.abort()
    else:
        reply.end()


async def _timed(stream: AsyncIterator[bytes], idle_s: float) -> AsyncIterator[bytes]:
    """The stream's pieces; `TimedOut` where it pauses for longer than `idle_s`."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                piece = await anext(stream, None)
        except TimeoutError:
            raise TimedOut(f"nothing came for {idle_s:g} s (idleTimeoutSeconds)") from None
        if piece is None:
            return
        yield piece


def _headers(request: Request, *, edge: bool) -> list[Header]:
    """The caller's fields, and those that Knative's ingress and activator add."""
    peer = request.peer.encode()
    headers: list[Header] = []
    named = is_forwarded = False
    for field in end_to_end(request.headers):
        name = field[0]
        if name == b"expect" or (edge and name in FORWARDED):
            continue
        if name == b"x-forwarded-for":
            is_forwarded = True
            field = (name, b"%b, %b" % (field[1], peer))  # noqa: PLW2901  the same field, one hop on
        named = named or name == b"x-request-id"
        headers.append(field)
    if not is_forwarded:
        headers.extend(forwarded(request.peer))
    if not named:
        headers.append(request_id())
    headers.append((b"k-proxy-request", b"activator"))
    return headers


def _refuse(request: Request, service: str, error: HttpError) -> None:
    match error:
        case NoSuchService():
            refuse(request, 404, str(error))
        case NoReplica():
            refuse(request, 503, str(error))
        case TimedOut():
            refuse(request, 504, f"activator request timeout: {error}")
        case _:
            log.warning("%s did not answer: %s", service, error)
            refuse(request, 502, f"{service} did not answer: its process ended or closed the connection")
