"""What the server takes, what it refuses, and in which order it answers."""

from __future__ import annotations

import asyncio

import pytest

from scripts.local.http import Limits, Request
from tests.scripts.local.http.wire import connected, said, serving, status

HEAD = b"Host: here\r\nConnection: close\r\n"


async def echo(request: Request) -> None:
    """Answer with what came."""
    body = await request.body(100_000)
    request.reply(200, [(b"x-method", request.method), (b"x-target", request.target)], body)


def ok(request: Request) -> None:
    """Answer at once."""
    request.reply(200, (), b"ok")


async def test_a_request_is_seen_as_it_was_sent() -> None:
    async with serving(echo) as server:
        answer = await said(server, b"POST /a?b=%20 HTTP/1.1\r\n" + HEAD + b"Content-Length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-method: POST\r\n" in answer
    assert b"x-target: /a?b=%20\r\n" in answer
    assert answer.endswith(b"connection: close\r\n\r\nabc")


async def test_names_of_fields_are_in_lower_case() -> None:
    def look(request: Request) -> None:
        request.reply(200, (), request.header(b"x-thing") or b"")

    async with serving(look) as server:
        answer = await said(server, b"GET / HTTP/1.1\r\n" + HEAD + b"X-Thing: Value\r\n\r\n")
    assert answer.endswith(b"Value")


async def test_a_chunked_body_is_put_together_and_its_trailers_are_dropped() -> None:
    body = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Late: 1\r\n\r\n"
    async with serving(echo) as server:
        answer = await said(
            server, b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
        )
    assert answer.endswith(b"\r\n\r\nabcde")


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 66_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 12_000 + b"\r\n", 431),
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(request_head: bytes, expected: int) -> None:
    """Promises 31 and 34: smuggling, oversize headers and URLs."""
    handled: list[Request] = []
    async with serving(handled.append) as server:
        answer = await said(server, request_head)
    assert status(answer) == expected
    assert b"connection: close\r\n" in answer
    assert not handled or b"Transfer-Encoding" in request_head


async def test_a_header_that_never_ends_is_refused() -> None:
    """Promise 31."""
    async with serving(ok) as server, connected(server.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        answering = asyncio.ensure_future(wire.rest())
        while not answering.done():
            await wire.send(b"X: " + b"y" * 32_000 + b"\r\n")
            await asyncio.sleep(0)
    assert status(answering.result()) == 431


async def test_http_1_0_is_answered_and_closed() -> None:
    async with serving(ok) as server:
        answer = await said(server, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nok")


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    """Promise 36."""
    held: list[Request] = []

    def later(request: Request) -> None:
        if request.target == b"/c":
            held.append(request)
        else:
            asyncio.get_running_loop().call_later(0.01, request.reply, 200, (), request.target)

    async with serving(later) as server, connected(server.port) as wire:
        await wire.send(b"".join(b"GET /%c HTTP/1.1\r\nHost: a\r\n\r\n" % letter for letter in b"abcd"))
        first = await wire.until(b"/b")
        assert first.index(b"\r\n\r\n/a") < first.index(b"\r\n\r\n/b")
        assert len(held) == 1
        held[0].reply(200, (), b"/c")
        rest = await wire.until(b"/d")
        assert rest.index(b"\r\n\r\n/c") < rest.index(b"\r\n\r\n/d")


async def test_a_thousand_pipelined_requests_are_all_answered() -> None:
    """Promise 36: neither depth nor the pause of reading stops them."""
    async with serving(ok) as server:
        many = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 999
        answer = await said(server, many + b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1_000


async def test_bad_bytes_after_a_good_request_leave_its_answer_alone() -> None:
    async with serving(echo) as server:
        answer = await said(
            server, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" + b"\x00nonsense"
        )
    first, _, second = answer.partition(b"hi")
    assert status(first) == 200
    assert status(second) == 400


async def test_what_follows_a_request_to_close_is_not_served() -> None:
    async with serving(echo) as server:
        answer = await said(server, b"GET /1 HTTP/1.1\r\n" + HEAD + b"\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


async def test_an_upgrade_is_answered_in_http_1_1() -> None:
    async with serving(echo) as server:
        answer = await said(
            server,
            b"GET /1 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
            b"GET /2 HTTP/1.1\r\n" + HEAD + b"\r\n",
        )
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]


async def test_a_client_that_waits_for_a_word_gets_it_when_its_body_is_wanted() -> None:
    async with serving(echo) as server, connected(server.port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\n" + HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"hi")
        assert (await wire.rest()).endswith(b"hi")


async def test_a_body_that_is_refused_is_never_asked_for() -> None:
    """Promise 31."""
    async with serving(echo) as server, connected(server.port) as wire:
        await wire.send(
            b"POST / HTTP/1.1\r\n" + HEAD + b"Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
        )
        assert status(await wire.until(b"\r\n\r\n")) == 413


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_a_body_over_the_limit_is_refused_while_it_comes(framing: bytes) -> None:
    """Promise 31: 413, and the client can read it although it is still sending."""
    async with serving(echo) as server, connected(server.port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
        answering = asyncio.ensure_future(wire.rest())
        for _ in range(40):
            if wire.writer.is_closing():
                break
            wire.writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await asyncio.sleep(0)
        answer = await answering
    assert status(answer) == 413


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal"]
)
async def test_a_client_that_stalls_is_let_go(start: bytes) -> None:
    """Promises 28 and 29: slow headers, slow bodies."""
    limits = Limits(stall_s=0.05, sweep_s=0.01)
    async with serving(echo, limits) as server:
        answer = await said(server, start)
    assert not start or status(answer) == 408


async def test_a_client_that_drips_is_let_go_too() -> None:
    """Promise 28: a byte now and then doesn't buy time."""
    limits = Limits(stall_s=0.1, sweep_s=0.01)
    async with serving(ok, limits) as server, connected(server.port) as wire:
        answering = asyncio.ensure_future(wire.rest())
        for _ in range(200):
            if answering.done():
                break
            wire.writer.write(b"G" if _ == 0 else b"")
            await asyncio.sleep(0.01)
    assert answering.done()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    limits = Limits(idle_s=0.05, sweep_s=0.01)
    async with serving(ok, limits) as server:
        answer = await said(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"ok")


async def test_a_body_is_held_back_while_nobody_reads_it() -> None:
    arrived = asyncio.Event()
    go_on = asyncio.Event()
    sizes: list[int] = []

    async def slow(request: Request) -> None:
        arrived.set()
        await go_on.wait()
        sizes.append(sum([len(chunk) async for chunk in request.stream()]))
        request.reply(204)

    size = 32_000_000
    async with serving(slow) as server, connected(server.port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
        await arrived.wait()
        wire.writer.write(b"x" * size)
        await asyncio.sleep(0.05)
        transport = wire.writer.transport
        assert transport.get_write_buffer_size() > size / 2, "it was read into memory"
        go_on.set()
        assert status(await wire.rest()) == 204
    assert sizes == [size]


async def test_a_handler_that_fails_tells_the_client_nothing_of_it() -> None:
    def broken(request: Request) -> None:
        raise RuntimeError("the secret reason")

    async def broken_later(request: Request) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the secret reason")

    for handler in (broken, broken_later):
        async with serving(handler) as server:
            answer = await said(server, b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert status(answer) == 500
        assert b"secret" not in answer
