"""The least that relays under stock functions-framework, without any of the gateway's work."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import aiohttp
import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_sessions: list[aiohttp.ClientSession] = []


@functions_framework.aio.http
async def bare(request: Request) -> Response:
    """Pass the request to INFERENCE_URL and its answer back."""
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    answer = await _sessions[0].post(
        os.environ["INFERENCE_URL"] + request.url.path,
        data=await request.body(),
        headers={"content-type": "application/json"},
    )
    if answer.content_type != "text/event-stream":
        return Response(await answer.read(), answer.status, media_type=answer.content_type)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in answer.content.iter_any():
            yield chunk

    return StreamingResponse(chunks(), answer.status, media_type="text/event-stream")
