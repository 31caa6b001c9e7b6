"""The gateway under the stock command, between the real `openai` SDK and servers of real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from aiohttp import ClientSession, web
from openai.types.chat import ChatCompletionUserMessageParam

from tests.functions.gateway.model_server import MODEL, WORDS, ModelServer, chunk, model_server, opened
from tests.functions.stock import Running, running

API_KEY = "hdl_" + "0" * 32 + "_" + "canary" * 7 + "x"
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "prompt-canary"}]
LEAVES_WITHIN_S = 1.0
POURED_BYTES = 64 * 1024 * 1024
"""Many times what the system's own buffers of three connections hold."""
STALLED_AFTER_S = 1.0

pytestmark = pytest.mark.slow


@asynccontextmanager
async def auth_server() -> AsyncIterator[str]:
    """An `auth` that knows one key."""

    async def token(request: web.Request) -> web.Response:
        if (await request.post())["subject_token"] != API_KEY:
            return web.json_response({"error": "invalid_request"}, status=400)
        answer = {"access_token": "header.claims.signature", "token_type": "Bearer", "expires_in": 300}
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Door:
    function: Running
    model: ModelServer
    client: openai.AsyncOpenAI


@asynccontextmanager
async def door(folder: Path, **environ: str) -> AsyncIterator[Door]:
    async with model_server() as model, auth_server() as auth:
        urls = {"INFERENCE_URL": model.url, "AUTH_URL": auth, "HADAL_ISSUER": auth, "LOG_LEVEL": "debug"}
        async with running("gateway", {**urls, **environ}, folder) as function:
            base_url = f"{function.url}/v1"
            async with openai.AsyncOpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client:
                yield Door(function, model, client)


async def test_the_openai_sdk_talks_to_a_model(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        assert [model.id async for model in at.client.models.list()] == [MODEL]
        assert (await at.client.models.retrieve(MODEL)).id == MODEL
        whole = await at.client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0.5)
        assert whole.choices[0].message.content == "".join(WORDS)
        assert whole.usage is not None
        assert whole.usage.total_tokens == 6
        stream = await at.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        deltas = [each.choices[0].delta.content async for each in stream]
        assert deltas == [*WORDS, None]
        headers, body = at.model.requests[0]
        assert body == {"messages": HELLO, "model": MODEL, "temperature": 0.5}
        assert "authorization" not in headers
        assert {"traceparent", "x-request-id"} <= headers.keys()


async def test_the_openai_sdk_understands_every_refusal(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        create = at.client.chat.completions.create
        with pytest.raises(openai.NotFoundError) as unknown:
            await create(model="gpt-9", messages=HELLO)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as bad:
            await create(model=MODEL, messages=HELLO, temperature=3)
        assert (bad.value.code, bad.value.param) == ("decimal_above_max_value", "temperature")
        with pytest.raises(openai.AuthenticationError) as nobody:
            await at.client.with_options(api_key=API_KEY[:-1] + "y").models.list()
        assert nobody.value.code == "invalid_api_key"
        with pytest.raises(openai.NotFoundError) as nowhere:
            await at.client.embeddings.create(model=MODEL, input="x")
        assert nowhere.value.code == "unknown_url"
        with pytest.raises(openai.APIStatusError) as too_large:
            await create(model=MODEL, messages=[{"role": "user", "content": "x" * (11 * 1024 * 1024)}])
        assert too_large.value.status_code == 413
        assert (too_large.value.code, too_large.value.type) == ("payload_too_large", "invalid_request_error")
        assert unknown.value.request_id


async def test_an_event_reaches_the_client_before_the_next_one_is_made(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        gate = asyncio.Event()

        async def waiting(request: web.Request) -> web.StreamResponse:
            response = await opened(request)
            await response.write(chunk("one"))
            await gate.wait()
            await response.write(chunk("two") + b"data: [DONE]\n\n")
            return response

        at.model.behaviour = waiting
        stream = await at.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "one"
        gate.set()
        assert (await anext(stream)).choices[0].delta.content == "two"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_model_s_work_at_once(tmp_path: Path, stream: bool) -> None:
    """Promise 35: the upstream is cancelled within a second."""
    async with door(tmp_path) as at:
        begun = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = await opened(request) if stream else web.Response()
            if stream:
                await response.write(chunk("one"))
            begun.set()
            await asyncio.Event().wait()
            return response

        at.model.behaviour = endless
        async with ClientSession() as client:
            body = {"model": MODEL, "messages": HELLO, "stream": stream}
            headers = {"authorization": f"Bearer {API_KEY}"}
            url = f"{at.function.url}/v1/chat/completions"
            call = asyncio.create_task(_read_all(client, url, body, headers))
            await begun.wait()
            call.cancel()
            async with asyncio.timeout(LEAVES_WITHIN_S):
                await at.model.left.wait()


async def test_a_client_that_does_not_read_holds_the_model_back(tmp_path: Path) -> None:
    """Promise 30: what a slow reader leaves unread is not heaped up here."""
    async with door(tmp_path) as at:
        stalled = asyncio.Event()
        written = 0

        async def pouring(request: web.Request) -> web.StreamResponse:
            nonlocal written
            response = await opened(request)
            event = chunk("x" * 60_000)
            while written < POURED_BYTES:
                try:
                    await asyncio.wait_for(response.write(event), STALLED_AFTER_S)
                except TimeoutError:
                    stalled.set()
                    break
                written += len(event)
            await asyncio.Event().wait()
            return response

        at.model.behaviour = pouring
        body = {"model": MODEL, "messages": HELLO, "stream": True}
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with (
            ClientSession(read_bufsize=1024) as client,
            client.post(f"{at.function.url}/v1/chat/completions", json=body, headers=headers),
        ):
            async with asyncio.timeout(30):
                await stalled.wait()
        assert written < POURED_BYTES


async def test_a_stream_that_breaks_off_raises_in_the_client(tmp_path: Path) -> None:
    """Promise 52."""
    async with door(tmp_path) as at:
        gate = asyncio.Event()

        async def dying(request: web.Request) -> web.StreamResponse:
            response = await opened(request)
            await response.write(chunk("one"))
            await gate.wait()
            assert request.transport is not None
            request.transport.abort()
            return response

        at.model.behaviour = dying
        stream = await at.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "one"
        gate.set()
        with pytest.raises(openai.APIError, match="broke off"):
            await anext(stream)


async def test_silence_is_filled_with_heartbeats_and_then_ended(tmp_path: Path) -> None:
    """Promise 53."""
    async with door(tmp_path, HEARTBEAT_S="0.1", SILENCE_TIMEOUT_S="0.3") as at:

        async def silent(request: web.Request) -> web.StreamResponse:
            response = await opened(request)
            await response.write(chunk("one"))
            await asyncio.Event().wait()
            return response

        at.model.behaviour = silent
        async with ClientSession() as client:
            body = {"model": MODEL, "messages": HELLO, "stream": True}
            headers = {"authorization": f"Bearer {API_KEY}"}
            text = await _read_all(client, f"{at.function.url}/v1/chat/completions", body, headers)
        assert text.count(b": keep-alive\n\n") == 2
        assert b'"code":"upstream_timeout"' in text
        assert b"[DONE]" not in text
        async with asyncio.timeout(LEAVES_WITHIN_S):
            await at.model.left.wait()


async def test_a_model_service_that_is_away_is_to_be_tried_again_and_then_it_works(tmp_path: Path) -> None:
    """Promise 51: recovery without a restart."""
    async with door(tmp_path) as at:
        await at.model.stop()
        with pytest.raises(openai.InternalServerError) as away:
            await at.client.chat.completions.create(model=MODEL, messages=HELLO)
        assert (away.value.status_code, away.value.response.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in away.value.message
        await at.model.start()
        await at.client.chat.completions.create(model=MODEL, messages=HELLO)


async def test_no_key_and_no_prompt_is_in_a_log(tmp_path: Path) -> None:
    """Promise 62."""
    async with door(tmp_path) as at:
        await at.client.chat.completions.create(model=MODEL, messages=HELLO)
        with pytest.raises(openai.BadRequestError):
            await at.client.chat.completions.create(model=MODEL, messages=HELLO, temperature=5)
        log = at.function.log
    assert '"route":"/v1/chat/completions"' in log
    assert "canary" not in log


async def _read_all(client: ClientSession, url: str, body: object, headers: dict[str, str]) -> bytes:
    async with client.post(url, json=body, headers=headers) as response:
        return await response.read()
