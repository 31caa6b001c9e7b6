"""The guarded protocol on a real socket, with its times shortened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from functions._runtime.serving import hosting
from functions._runtime.serving.protocol import GuardedProtocol
from tests.functions._runtime.serving.demo import Demo

MB = 1024 * 1024


class Hasty(GuardedProtocol):
    stall_s = 0.15
    unread_answer_s = 0.3


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of one answer that has a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        return status, await self.reader.readexactly(int(fields[b"content-length"]))

    async def is_closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), 5) == b""
        except ConnectionError:
            return True


class Server:
    def __init__(self, demo: Demo, port: int, state: ServerState) -> None:
        self.demo = demo
        self.state = state
        self._port = port

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def status_of(self, request: bytes) -> int:
        async with self.connection() as connection:
            connection.send(request)
            return (await connection.answer())[0]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    demo = Demo()
    application = demo.application({"MAX_BODY_BYTES": str(MB)})
    monkeypatch.setattr(hosting, "_hosted", hosting.Hosted(application, 0))
    config = Config(application, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Hasty(config, state, {}), "127.0.0.1", 0)
    yield Server(demo, listening.sockets[0].getsockname()[1], state)
    listening.close()
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    await application.lifecycle.close()


def get(target: str = "/things/1", *fields: str) -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: x", *fields, "", "")).encode("latin-1")


def post(body: bytes, *fields: str) -> bytes:
    head = ("POST /echo HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(head).encode() + body


async def test_requests_on_one_connection_are_answered_in_order(server: Server) -> None:
    """Promise 36: pipelined, too."""
    async with server.connection() as connection:
        connection.send(get("/things/1") + post(b'{"a": 1}') + get("/things/3"))
        bodies = [(await connection.answer())[1] for _ in range(3)]
    assert bodies == [b'{"id":"1","query":{}}', b'{"bytes":8,"json":{"a":1}}', b'{"id":"3","query":{}}']


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/things/" + "a" * 9_000), 414),
        (get("/things/1", "X: " + "a" * 40_000), 431),
        (get("/things/1", *(f"X{n}: {'a' * 100}" for n in range(400))), 431),
        (get("/things/" + "a" * 8_000, "X: " + "a" * 20_000), 200),
        (post(b'{"a": "' + b"x" * MB + b'"}'), 413),
        (b"GET /things/1 HTTP/1.1\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.0\r\n\r\n", 200),
        (post(b"0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.1\nHost: x\n\n", 400),
        (b"GET /things/1 HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"BREW /things/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /things/1 HTTP/3.0\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"TRACE /things/1 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://x/things/1 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
async def test_each_request_gets_the_status_that_it_deserves(
    server: Server, request_: bytes, status: int
) -> None:
    """Promises 31 and 34."""
    assert await server.status_of(request_) == status


async def test_a_refused_request_ends_its_connection_and_says_why(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(get("/things/" + "a" * 9_000) + get())
        status, body = await connection.answer()
        assert (status, b'"code":"uri_too_long"' in body) == (414, True)
        assert await connection.is_closed()


async def test_a_long_body_in_one_piece_is_no_long_header(server: Server) -> None:
    body = b'{"a": "' + b"x" * 200_000 + b'"}'
    async with server.connection() as connection:
        for _ in range(2):
            connection.send(post(body))
            status, answer = await connection.answer()
            assert (status, answer[:15]) == (200, b'{"bytes":200009')


async def test_an_endless_header_is_cut_off_while_it_comes(server: Server) -> None:
    """Promise 31: it never grows in memory beyond the limit and one read."""
    async with server.connection() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        answering = asyncio.create_task(connection.answer())
        sent = 0
        while not answering.done() and sent < 8 * MB:
            connection.send(b"a" * 16_384)
            sent += 16_384
            await asyncio.sleep(0)
            await connection.writer.drain()
        assert (await answering)[0] == 431
        assert sent < MB


async def test_an_endless_chunked_body_is_cut_off_while_it_comes(server: Server) -> None:
    """Promise 31."""
    async with server.connection() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answering = asyncio.create_task(connection.answer())
        while not answering.done():
            connection.send(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
            await asyncio.sleep(0)
            await connection.writer.drain()
        assert (await answering)[0] == 413


async def test_a_too_long_body_that_waits_to_be_asked_for_isnt_sent(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert (await connection.answer())[0] == 413
        assert await connection.is_closed()


async def test_a_header_that_stops_is_answered_408_and_closed(server: Server) -> None:
    """Promise 28."""
    async with server.connection() as connection:
        connection.send(b"GET /things/1 HTTP/1.1\r\nHos")
        assert (await connection.answer())[0] == 408
        assert await connection.is_closed()


async def test_a_header_that_drips_is_closed_too(server: Server) -> None:
    """Promise 28: each byte in time doesn't make the whole in time."""
    async with server.connection() as connection:
        answering = asyncio.create_task(connection.answer())
        connection.send(b"GET /things/1 HTTP/1.1\r\nX: ")
        while not answering.done():
            connection.send(b"a")
            await asyncio.sleep(0.02)
        assert (await answering)[0] == 408


async def test_a_connection_that_says_nothing_is_closed_in_silence(server: Server) -> None:
    async with server.connection() as connection:
        assert await connection.is_closed()


async def test_a_body_that_stops_is_answered_408_and_closed(server: Server) -> None:
    """Promise 29."""
    async with server.connection() as connection:
        connection.send(post(b'{"a": 1}')[:-3])
        assert (await connection.answer())[0] == 408
        assert await connection.is_closed()
    await asyncio.gather(*server.state.tasks)  # whoever waited for the body has ended


async def test_a_body_that_drips_is_closed_too(server: Server) -> None:
    """Promise 29."""
    async with server.connection() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        answering = asyncio.create_task(connection.answer())
        while not answering.done():
            connection.send(b"a")
            await asyncio.sleep(0.02)
        assert (await answering)[0] == 408


async def test_a_slow_answer_is_no_stalled_request(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(get("/wait"))
        answering = asyncio.create_task(connection.answer())
        await asyncio.wait((answering,), timeout=4 * Hasty.stall_s)
        assert not answering.done()
        server.demo.go_on.set()
        assert (await answering)[0] == 200


async def test_an_idle_connection_outlives_a_stalled_one(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(get())
        await connection.answer()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.reader.read(), 4 * Hasty.stall_s)
        connection.send(get())
        assert (await connection.answer())[0] == 200


async def test_a_reader_who_doesnt_read_holds_back_what_is_produced(server: Server) -> None:
    """Promise 30: what waits for one reader is bounded, and one who never reads is let go."""
    async with server.connection() as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection.send(get("/flood"))
        produced = -1
        while produced != server.demo.produced or produced == 0:
            produced = server.demo.produced
            await asyncio.sleep(0.05)
        assert produced < 8 * 1024, "more than the sockets' own buffers hold was produced"
        while server.state.connections:  # noqa: ASYNC110  the server has no event for it
            await asyncio.sleep(0.02)


async def test_a_client_that_leaves_in_mid_stream_closes_it(server: Server) -> None:
    """Promise 35."""
    async with server.connection() as connection:
        connection.send(get("/stream"))
        await connection.reader.readuntil(b"data: 1\n\n")
    await asyncio.wait_for(server.demo.stream_closed.wait(), 1)


async def test_a_stream_that_fails_has_no_proper_end(server: Server) -> None:
    """Promise 52."""
    async with server.connection() as connection:
        connection.send(get("/broken-stream"))
        everything = await connection.reader.read()
    assert b"data: 1" in everything
    assert not everything.endswith(b"0\r\n\r\n")


async def test_an_upgrade_isnt_followed(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(get("/things/1", "Connection: Upgrade", "Upgrade: websocket"))
        assert (await connection.answer())[0] == 200
        assert await connection.is_closed()


async def test_a_bad_request_behind_a_good_one_doesnt_spoil_its_answer(server: Server) -> None:
    """Promise 36."""
    async with server.connection() as connection:
        connection.send(get("/wait") + b"nonsense\r\n\r\n")
        await asyncio.sleep(0)
        server.demo.go_on.set()
        assert (await connection.answer())[0] == 200
        assert await connection.is_closed()


async def test_the_head_of_an_answer_names_no_server(server: Server) -> None:
    async with server.connection() as connection:
        connection.send(get())
        head = await connection.reader.readuntil(b"\r\n\r\n")
    assert b"server:" not in head.lower()
