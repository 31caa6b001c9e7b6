"""The same answer from the bare framework and from raw ASGI, with nothing around it."""

from __future__ import annotations

from typing import Any

import functions_framework.aio
import orjson
from starlette.requests import Request
from starlette.responses import Response


@functions_framework.aio.http
async def bare(request: Request) -> Response:
    """The framework's own way."""
    name = orjson.loads(await request.body())["name"]
    return Response(orjson.dumps({"hello": name}), media_type="application/json")


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """ASGI by hand: the least that uvicorn asks."""
    if scope["type"] != "http":
        return
    name = orjson.loads((await receive())["body"])["name"]
    body = orjson.dumps({"hello": name})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
