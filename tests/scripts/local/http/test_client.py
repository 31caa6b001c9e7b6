"""The pooled client: what it sends, what it makes of answers, and when it tries again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from scripts.local.http import BadResponse, BodyTooLarge, Client, ConnectFailed, Request, TimedOut
from tests.scripts.local.http.wire import serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers the n-th request, on whatever connection, with the n-th bytes; b"" closes."""
    seen: list[bytes] = []
    left = list(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                answer = left.pop(0)
                writer.write(answer)
                if not answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


async def get(client: Client, port: int, method: bytes = b"GET", timeout_s: float | None = None) -> bytes:
    """The body of an answer."""
    response = await client.request(method, "127.0.0.1", port, b"/", timeout_s=timeout_s)
    return await response.read(1_000_000)


async def test_a_request_goes_out_as_asked(client: Client) -> None:
    async with answering(OK) as (port, seen):
        response = await client.request(b"POST", "127.0.0.1", port, b"/a?b", [(b"x-name", b"value")], b"body")
        assert response.status == 200
        assert response.header(b"content-length") == b"2"
        assert await response.read(10) == b"ok"
    assert seen == [
        b"POST /a?b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-name: value\r\ncontent-length: 4\r\n\r\n" % port
    ]


async def test_a_connection_is_used_again(client: Client) -> None:
    peers = set()

    def handler(request: Request) -> None:
        peers.add(id(request._exchange))
        request.reply(200, (), b"ok")

    async with serving(handler) as server:
        for _ in range(5):
            assert await get(client, server.port) == b"ok"
    assert len(peers) == 1


async def test_a_kept_connection_that_was_closed_is_replaced(client: Client) -> None:
    async with answering(OK, b"", OK) as (port, seen):
        assert await get(client, port) == b"ok"
        assert await get(client, port) == b"ok"
    assert len(seen) == 3


async def test_a_post_that_may_have_been_carried_out_is_not_sent_again(client: Client) -> None:
    """Promise 37: RFC 9110, 9.2.2."""
    async with answering(OK, b"", OK) as (port, seen):
        assert await get(client, port, b"POST") == b"ok"
        with pytest.raises(BadResponse, match="closed"):
            await get(client, port, b"POST")
    assert len(seen) == 2


async def test_a_fresh_connection_that_closes_is_not_tried_again(client: Client) -> None:
    async with answering(b"", OK) as (port, seen):
        with pytest.raises(BadResponse, match="closed"):
            await get(client, port)
    assert len(seen) == 1


async def test_an_answer_that_began_is_not_asked_for_again(client: Client) -> None:
    """Promise 52."""
    async with answering(OK, b"HTTP/1.1 200 OK\r\nContent-Len", OK) as (port, seen):
        assert await get(client, port) == b"ok"
        with pytest.raises(BadResponse):
            await get(client, port)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    ],
)
async def test_an_answer_that_is_cut_or_wrong_is_an_error(client: Client, answer: bytes) -> None:
    """Promises 51 and 52."""
    async with answering(answer) as (port, _):
        with pytest.raises(BadResponse):
            await get(client, port, timeout_s=5)


async def test_an_answer_may_end_with_its_connection(client: Client) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\nall of it") as (port, _):
        assert await get(client, port) == b"all of it"


async def test_interim_answers_are_passed_over(client: Client) -> None:
    async with answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK) as (
        port,
        _,
    ):
        response = await client.request(b"GET", "127.0.0.1", port, b"/")
        assert response.header(b"link") is None
        assert await response.read(10) == b"ok"


async def test_the_answer_to_a_head_has_a_length_and_no_body_and_its_connection_is_kept(
    client: Client,
) -> None:
    peers = set()

    def handler(request: Request) -> None:
        peers.add(id(request._exchange))
        request.reply(200, (), b"four")

    async with serving(handler) as server:
        for _ in range(2):
            response = await client.request(b"HEAD", "127.0.0.1", server.port, b"/")
            assert response.header(b"content-length") == b"4"
            assert await response.read(10) == b""
        assert await get(client, server.port) == b"four"
    assert len(peers) == 1


async def test_bytes_that_nobody_asked_for_close_the_connection(client: Client) -> None:
    async with answering(OK + b"more", OK) as (port, seen):
        assert await get(client, port) == b"ok"
        assert await get(client, port) == b"ok"
    assert len(seen) == 2


async def test_a_body_is_sent_as_it_is_made(client: Client) -> None:
    async def echo(request: Request) -> None:
        request.reply(200, (), await request.body(1_000_000))

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"piece"
            await asyncio.sleep(0)

    async with serving(echo) as server:
        response = await client.request(b"POST", "127.0.0.1", server.port, b"/", (), pieces())
        assert await response.read(100) == b"piecepiecepiece"


async def test_what_goes_wrong_with_a_body_is_told_to_the_caller(client: Client) -> None:
    async def ok(request: Request) -> None:
        request.reply(200, (), await request.body(1_000_000))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"
        raise ConnectionResetError("its own client left")

    async with serving(ok) as server:
        with pytest.raises(ConnectionResetError, match="its own client"):
            await client.request(b"POST", "127.0.0.1", server.port, b"/", (), pieces())


async def test_an_early_answer_ends_the_sending(client: Client) -> None:
    stopped = asyncio.Event()

    def refuse(request: Request) -> None:
        request.reply(403)

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1_000
                await asyncio.sleep(0)
        finally:
            stopped.set()

    async with serving(refuse) as server:
        response = await client.request(b"POST", "127.0.0.1", server.port, b"/", (), endless())
        assert response.status == 403
        await response.read(10)
        await asyncio.wait_for(stopped.wait(), 5)


async def test_no_server_is_a_failed_connection(client: Client) -> None:
    async with serving(lambda request: None) as server:
        port = server.port
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}"):
        await get(client, port)


async def stalling(request: Request) -> None:
    """Begin an answer and never end it."""
    if request.target == b"/head":
        await asyncio.Event().wait()
    await request.start(200, []).write(b"begun")
    await asyncio.Event().wait()


@pytest.mark.parametrize("target", [b"/head", b"/body"])
async def test_the_time_allowed_covers_the_whole_answer(client: Client, target: bytes) -> None:
    async with serving(stalling) as server:
        with pytest.raises(TimedOut):
            response = await client.request(b"GET", "127.0.0.1", server.port, target, timeout_s=0.05)
            await response.read(100)


def leaves(target: bytes) -> Callable[[Client, int], asyncio.Future[object]]:
    """A call that is in the middle of its answer when it is cancelled."""

    async def call(client: Client, port: int) -> object:
        response = await client.request(b"GET", "127.0.0.1", port, target)
        try:
            return await response.read(100)
        finally:
            response.close()

    return lambda client, port: asyncio.ensure_future(call(client, port))


@pytest.mark.parametrize("target", [b"/head", b"/body"])
async def test_a_cancelled_call_closes_its_connection(client: Client, target: bytes) -> None:
    """Promise 35."""
    begun, left = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> None:
        begun.set()
        try:
            await stalling(request)
        finally:
            left.set()

    async with serving(handler) as server:
        calling = leaves(target)(client, server.port)
        await begun.wait()
        calling.cancel()
        await asyncio.wait_for(left.wait(), 1)


async def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    async with serving(lambda request: request.reply(200, (), b"x" * 1_000)) as server:
        response = await client.request(b"GET", "127.0.0.1", server.port, b"/")
        with pytest.raises(BodyTooLarge):
            await response.read(999)


async def test_the_end_of_an_answer_is_told_once(client: Client) -> None:
    ends: list[str] = []
    async with serving(stalling) as server:
        response = await client.request(b"GET", "127.0.0.1", server.port, b"/body")
        response.on_end(lambda: ends.append("end"))
        response.close()
        response.close()
        response.on_end(lambda: ends.append("late"))
    assert ends == ["end", "late"]


@pytest.mark.parametrize(
    ("target", "headers"), [(b"/ HTTP/1.1\r\nX: y", []), (b"/a b", []), (b"/", [(b"x", b"y\r\nz: 1")])]
)
async def test_a_request_that_would_be_two_is_not_sent(
    client: Client, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Promise 34."""
    async with answering(OK) as (port, seen):
        with pytest.raises(ValueError, match="line break"):
            await client.request(b"GET", "127.0.0.1", port, target, headers)
    assert not seen
