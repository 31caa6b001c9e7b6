"""How answers go out: whole, in pieces, held back, and cut."""

from __future__ import annotations

import asyncio

import pytest

from scripts.local.http import Limits, Request, serve
from tests.scripts.local.http.wire import connected, said, serving, status

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_a_stream_is_sent_in_chunks_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def stream(request: Request) -> None:
        reply = request.start(200, [(b"content-type", b"text/event-stream")])
        await reply.write(b"one")
        await go_on.wait()
        await reply.write(b"two")
        reply.end()

    async with serving(stream) as server, connected(server.port) as wire:
        await wire.send(GET)
        assert b"transfer-encoding: chunked\r\n" in await wire.until(b"3\r\none\r\n")
        go_on.set()
        assert await wire.rest() == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async def stream(request: Request) -> None:
        reply = request.start(200, [])
        await reply.write(b"one")
        reply.end()

    async with serving(stream) as server:
        answer = await said(server, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.endswith(b"connection: close\r\n\r\none")


async def test_a_stream_of_known_length_is_not_chunked() -> None:
    async def stream(request: Request) -> None:
        reply = request.start(200, [(b"content-length", b"6")])
        await reply.write(b"one")
        await reply.write(b"two")
        reply.end()

    async with serving(stream) as server:
        answer = await said(server, GET)
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize("framing", [[], [(b"content-length", b"6")]])
async def test_an_answer_that_is_cut_has_no_end(framing: list[tuple[bytes, bytes]]) -> None:
    """Promise 52: the client never takes a part for the whole."""

    async def stream(request: Request) -> None:
        reply = request.start(200, framing)
        await reply.write(b"one")
        reply.abort()

    async with serving(stream) as server:
        answer = await said(server, GET)
    assert b"one" in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_a_cut_answer_to_http_1_0_is_reset() -> None:
    """Promise 52: there a close would be a proper end."""
    go_on = asyncio.Event()

    async def stream(request: Request) -> None:
        reply = request.start(200, [])
        await reply.write(b"one")
        await go_on.wait()
        reply.abort()

    async with serving(stream) as server, connected(server.port) as wire:
        await wire.send(b"GET / HTTP/1.0\r\n\r\n")
        await wire.until(b"one")
        go_on.set()
        with pytest.raises(ConnectionResetError):
            await wire.rest()


async def test_an_answer_shorter_than_it_said_is_cut() -> None:
    async def stream(request: Request) -> None:
        reply = request.start(200, [(b"content-length", b"6")])
        await reply.write(b"one")
        reply.end()

    async with serving(stream) as server, connected(server.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.rest()).endswith(b"one")


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_answer_to_a_head_has_no_body(streamed: bool) -> None:
    async def handler(request: Request) -> None:
        if streamed:
            reply = request.start(200, [(b"content-length", b"6")])
            await reply.write(b"onetwo")
            reply.end()
        else:
            request.reply(200, (), b"onetwo")

    async with serving(handler) as server:
        answer = await said(server, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length: 6\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_field_that_would_break_out_of_its_line_is_not_sent() -> None:
    def handler(request: Request) -> None:
        request.reply(200, [(b"x-name", b"value\r\nset-cookie: a=b")])

    async with serving(handler) as server:
        answer = await said(server, GET)
    assert status(answer) == 500
    assert b"set-cookie" not in answer


async def test_a_slow_reader_holds_its_writer_back() -> None:
    """Promise 30: 64 KB are buffered for it, not the stream."""
    written = 0

    async def flood(request: Request) -> None:
        nonlocal written
        reply = request.start(200, [])
        for _ in range(1_000):
            await reply.write(b"x" * 65_536)
            written += 65_536
        reply.end()

    async with serving(flood) as server, connected(server.port) as wire:
        await wire.send(GET)
        await wire.line()
        await asyncio.sleep(0.1)
        held = written
        await asyncio.sleep(0.1)
        assert written == held < 20_000_000
        total = len(await wire.rest())
    assert total > 65_536_000


async def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    """Promise 35."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(request: Request) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            assert request.disconnected
            ended.set()

    async with serving(work) as server, connected(server.port) as wire:
        await wire.send(GET)
        await started.wait()
        wire.close()
        await asyncio.wait_for(ended.wait(), 1)


async def test_a_handler_without_a_task_is_told_that_its_client_left() -> None:
    requests: list[Request] = []
    came, told = asyncio.Event(), asyncio.Event()

    def keep(request: Request) -> None:
        requests.append(request)
        request.on_disconnect(told.set)
        came.set()

    async with serving(keep) as server, connected(server.port) as wire:
        await wire.send(GET)
        await came.wait()
        wire.close()
        await asyncio.wait_for(told.wait(), 1)
        requests[0].reply(200)
    assert requests[0].disconnected


async def test_a_closing_server_finishes_what_it_answers() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> None:
        started.set()
        await go_on.wait()
        request.reply(200, (), b"done")

    server = await serve(slow, "127.0.0.1", 0)
    async with connected(server.port) as busy, connected(server.port) as idle:
        await busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await started.wait()
        closing = asyncio.ensure_future(server.close(5))
        assert await idle.rest() == b""
        go_on.set()
        answer = await busy.rest()
        assert answer.endswith(b"connection: close\r\n\r\ndone")
        await asyncio.wait_for(closing, 1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_closing_server_waits_no_longer_than_it_may() -> None:
    async def forever(request: Request) -> None:
        await asyncio.Event().wait()

    server = await serve(forever, "127.0.0.1", 0, limits=Limits())
    async with connected(server.port) as wire:
        await wire.send(GET)
        await asyncio.sleep(0.01)
        await asyncio.wait_for(server.close(0.05), 1)
        assert await wire.rest() == b""
