"""Promises 51 and 52 at the client of the model service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import orjson
import pytest

from functions._runtime.errors import (
    BadGateway,
    BadRequest,
    Problem,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)
from functions._runtime.model_client import ModelClient
from functions._runtime.outbound import HttpClient
from tests.functions._runtime.upstream import Exchange, Script, upstream

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ONE = b'{"choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}'
TWO = b'{"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":"stop"}]}'


@asynccontextmanager
async def model(script: Script) -> AsyncIterator[ModelClient]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(upstream(script))
        yield ModelClient(HttpClient({}, stack), url, first_byte_s=0.5, gap_s=0.2, whole_s=0.5)


def streaming(*pieces: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        for piece in pieces:
            exchange.chunk(piece)
            await asyncio.sleep(0)
        exchange.end_stream()

    return script


def answering(status: int, body: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        exchange.answer(status, body)

    return script


async def test_the_chunks_of_a_stream_come_with_their_bytes() -> None:
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await streaming(
            b": keep-alive\n\n\n\ndata: " + ONE[:20],
            ONE[20:] + b"\n\ndata:" + TWO + b"\r\n\r\ndata: [DONE]\n\n",
        )(exchange)

    async with model(script) as client:
        chunks = [chunk async for chunk in client.stream_chat(BODY)]
    assert [chunk.data for chunk in chunks] == [orjson.loads(ONE), orjson.loads(TWO)]
    assert [chunk.raw for chunk in chunks] == [b"data: " + ONE + b"\n\n", b"data: " + TWO + b"\n\n"]
    assert (seen[0].target, orjson.loads(seen[0].body)) == ("/v1/chat/completions", {**BODY, "stream": True})


async def test_a_stream_that_stops_without_its_end_is_an_error() -> None:
    """Promise 52."""
    async with model(streaming(b"data: " + ONE + b"\n\n")) as client:
        with pytest.raises(BadGateway, match="middle"):
            [chunk async for chunk in client.stream_chat(BODY)]


async def test_a_finish_reason_is_an_end_too() -> None:
    async with model(streaming(b"data: " + TWO + b"\n\n")) as client:
        assert len([chunk async for chunk in client.stream_chat(BODY)]) == 1


async def test_a_model_that_dies_in_mid_stream_is_an_error_after_what_came() -> None:
    """Promise 52."""

    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(b"data: " + ONE + b"\n\n")
        exchange.break_off()

    came = 0
    async with model(script) as client:
        with pytest.raises(BadGateway):
            async for _ in client.stream_chat(BODY):
                came += 1
    assert came == 1


@pytest.mark.parametrize(
    "piece",
    [b"data: nonsense\n\n", b"data: [1]\n\n", b'data: {"error":"boom canary","error_type":"generation"}\n\n'],
)
async def test_nonsense_or_an_error_in_a_stream_is_an_error(piece: bytes) -> None:
    async with model(streaming(piece)) as client:
        with pytest.raises(BadGateway) as raised:
            [chunk async for chunk in client.stream_chat(BODY)]
    assert "canary" not in raised.value.message


async def test_a_gap_that_is_too_long_is_unavailable() -> None:
    """Promise 53."""

    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(b"data: " + ONE + b"\n\n")
        await exchange.left()

    async with model(script) as client:
        with pytest.raises(Unavailable):
            [chunk async for chunk in client.stream_chat(BODY)]


async def test_a_model_that_hangs_is_unavailable() -> None:
    """Promise 51."""
    async with model(Exchange.left) as client:
        with pytest.raises(Unavailable):
            [chunk async for chunk in client.stream_chat(BODY)]
        with pytest.raises(Unavailable):
            await client.chat(BODY)


async def test_closing_the_iterator_closes_the_connection() -> None:
    """Promise 35: that is how a server learns that nobody listens."""
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(b"data: " + ONE + b"\n\n")
        await exchange.left()
        left.set()

    async with model(script) as client:
        async with aclosing(client.stream_chat(BODY)) as chunks:
            await anext(chunks)
        await asyncio.wait_for(left.wait(), 1)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (422, b'{"error":"too long: 9 > 8","error_type":"validation"}', Unprocessable, "too long: 9 > 8"),
        (400, b'{"error":{"message":"bad field","type":"x"}}', BadRequest, "bad field"),
        (
            429,
            b'{"error":"Model is overloaded","error_type":"overloaded"}',
            TooManyRequests,
            "Model is overloaded",
        ),
        (422, b"<html>", Unprocessable, "refused"),
        (503, b'{"error":"canary"}', Unavailable, "isn't ready"),
        (500, b'{"error":"canary"}', BadGateway, "failed"),
        (424, b'{"error":"canary","error_type":"generation"}', BadGateway, "failed"),
        (302, b"", BadGateway, "failed"),
    ],
)
async def test_a_refusal_has_its_status_and_a_failure_keeps_its_text(
    status: int, body: bytes, kind: type[Problem], message: str
) -> None:
    """Promise 51."""
    async with model(answering(status, body)) as client:
        for attempt in (client.chat(BODY), anext(client.stream_chat(BODY))):
            with pytest.raises(kind, match=message) as raised:
                await attempt
            assert "canary" not in raised.value.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}'])
async def test_a_completion_that_is_none_is_a_bad_gateway(body: bytes) -> None:
    """Promise 51."""
    async with model(answering(200, body)) as client:
        with pytest.raises(BadGateway):
            await client.chat(BODY)


async def test_a_whole_completion_comes_as_it_is() -> None:
    completion = {"id": "1", "choices": [{"message": {"role": "assistant", "content": "hi"}}]}
    async with model(answering(200, orjson.dumps(completion))) as client:
        assert await client.chat(BODY) == completion


@pytest.mark.parametrize(
    ("status", "body", "window"),
    [
        (200, b'{"max_total_tokens": 4096}', 4096),
        (200, b"{}", 8192),
        (200, b'{"max_total_tokens": "4096"}', 8192),
        (404, b"", 8192),
    ],
)
async def test_the_window_is_the_servers_or_the_default(status: int, body: bytes, window: int) -> None:
    async with model(answering(status, body)) as client:
        assert await client.window_tokens() == window
