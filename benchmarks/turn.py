"""What a stored turn adds to a stateless call, with an instant model: gateway, chat and SQLite for real.

Gateway and chat run under the stock command as they are deployed; the model's server, `auth`'s keys and the
Broker's ingress are this process. Calls come one after the other, stateless and stored by turns, so that both
meet the same machine; a stored turn is durable (fsync) twice before its answer ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, web
from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks._frame import Row, Table

CALLS, WARMING_UP = 150, 20
TURNS_WITHOUT_SUMMARY = 25
"""A conversation that `summarize` looks after has about so many turns in its context at most."""

BAR_MS = 5.0
READY_WITHIN_S = 30.0
MODEL = "instant"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

Milliseconds = list[float]


async def main() -> Table:
    """Measure whole and streamed answers."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})
        url = await stack.enter_async_context(_neighbours(key))
        own = {"HADAL_ISSUER": url, "AUTH_URL": url, "INFERENCE_URL": url, "K_SINK": f"{url}/hadal/default"}
        own |= {"HADAL_STORE": f"sqlite:{folder}/chat.db", "LOG_LEVEL": "warning"}
        chat = await stack.enter_async_context(_function("chat", own, folder))
        door = await stack.enter_async_context(_function("gateway", {**own, "CHAT_URL": chat}, folder))
        headers = {"authorization": f"Bearer {_token(key, url)}"}
        session = await stack.enter_async_context(ClientSession(door, headers=headers))
        rows = []
        for kind, stream in (("whole", False), ("streamed", True)):
            stateless, stored = await _measured(session, stream=stream)
            added = statistics.median(stored) - statistics.median(stateless)
            rows += [
                Row(f"{kind}, stateless, median", statistics.median(stateless), "ms"),
                Row(f"{kind}, a stored turn, median", statistics.median(stored), "ms"),
                Row(f"{kind}, what being stored adds", added, "ms", BAR_MS),
                Row(f"{kind}, a stored turn, p95", statistics.quantiles(stored, n=20)[-1], "ms"),
            ]
        rows.append(Row("one fsync of 4 KB here, median", _fsync_ms(folder), "ms"))
    return Table(f"A stored turn beside a stateless call, {CALLS} of each", rows)


async def _measured(session: ClientSession, *, stream: bool) -> tuple[Milliseconds, Milliseconds]:
    stateless: Milliseconds = []
    stored: Milliseconds = []
    for call in range(WARMING_UP + CALLS):
        if call % TURNS_WITHOUT_SUMMARY == 0:
            conversation = await _conversation(session)
        stateless.append(await _call_ms(session, stream=stream))
        stored.append(await _call_ms(session, stream=stream, conversation=conversation))
    return stateless[WARMING_UP:], stored[WARMING_UP:]


async def _conversation(session: ClientSession) -> str:
    async with session.post("/v1/conversations", json={}) as answer:
        return str((await answer.json())["id"])


async def _call_ms(session: ClientSession, *, stream: bool, **more: str) -> float:
    messages = [{"role": "user", "content": "How deep is the hadal zone?"}]
    body = orjson.dumps({"model": MODEL, "messages": messages, "stream": stream, **more})
    began = time.perf_counter()
    async with session.post(
        "/v1/chat/completions", data=body, headers={"content-type": "application/json"}
    ) as answer:
        text = await answer.read()
    took_ms = (time.perf_counter() - began) * 1e3
    if answer.status != 200 or (stream and not text.endswith(b"data: [DONE]\n\n")):
        raise RuntimeError(f"{answer.status}: {text[:300]!r}")
    return took_ms


@asynccontextmanager
async def _neighbours(key: ECKey) -> AsyncIterator[str]:
    """The model, `auth`'s keys and the ingress; its address."""
    app = web.Application()
    answers: dict[str, Any] = {
        "/.well-known/jwks.json": {"keys": [key.as_dict(private=False)]},
        "/info": {"max_total_tokens": 8192},
        "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model"}]},
    }
    for path, answer in answers.items():
        app.router.add_get(path, _giving(answer))
    app.router.add_post("/v1/chat/completions", _completion)
    app.router.add_post("/hadal/default", _taken)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _giving(answer: Any) -> Any:
    async def give(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return give


async def _taken(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=202)


async def _completion(request: web.Request) -> web.StreamResponse:
    body = orjson.loads(await request.read())
    message = {"role": "assistant", "content": "Very deep."}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    frames: list[Any] = [
        {**HEAD, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        frames.append({**HEAD, "choices": [], "usage": USAGE})
    for frame in frames:
        await response.write(b"data: %b\n\n" % orjson.dumps(frame))
    await response.write(b"data: [DONE]\n\n")
    return response


def _token(key: ECKey, issuer: str) -> str:
    now_s = int(time.time())
    claims = {"iss": issuer, "aud": "hadal", "sub": "ann", "tenant": "team", "roles": ["member"], "jti": "1"}
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    return jwt.encode(header, {**claims, "iat": now_s, "exp": now_s + 300}, key)


@asynccontextmanager
async def _function(name: str, settings: dict[str, str], folder: str) -> AsyncIterator[str]:
    """The function `name` under the stock command, ready; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = {"FUNCTION_SOURCE": f"functions/{name}/service.py", "FUNCTION_TARGET": name, "PORT": str(port)}
    log = Path(folder, f"{name}.log")
    with log.open("wb") as output:  # noqa: ASYNC230  nothing else runs in this loop yet
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("functions-framework")),
            "--asgi",
            env={**os.environ, **source, **settings},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, log)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _ready(url: str, log: Path) -> None:
    ends_at = time.monotonic() + READY_WITHIN_S
    async with ClientSession() as session:
        while time.monotonic() < ends_at:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{url} isn't ready after {READY_WITHIN_S} s; its log is {log}")


def _fsync_ms(folder: str) -> float:
    took: Milliseconds = []
    with Path(folder, "fsync").open("wb") as file:
        for _ in range(50):
            file.write(os.urandom(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)
