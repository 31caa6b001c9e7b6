from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from functions._runtime.adapters.broker import BrokerPublisher, overrides
from functions._runtime.errors import BadGateway, Unavailable, Unprocessable
from functions._runtime.outbound import HttpClient
from functions._runtime.tracing import current_trace, trace_from
from tests.functions._runtime.contracts.event_store import event
from tests.functions._runtime.upstream import Exchange, upstream


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with AsyncExitStack() as stack:
        yield HttpClient({}, stack)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_answer_comes_whole_whatever_its_status(http: HttpClient) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(418, exchange.body + exchange.target.encode())

    async with upstream(script) as url:
        answer = await http.request("POST", f"{url}/a?b=c%20d", body=b"body ", timeout_s=5)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (
        418,
        b"body /a?b=c%20d",
        "application/json",
    )


async def test_the_trace_of_the_request_goes_along(http: HttpClient) -> None:
    seen: list[dict[str, str]] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange.headers)
        exchange.answer(200, b"")

    trace = trace_from({"x-request-id": "r1"})
    token = current_trace.set(trace)
    async with upstream(script) as url:
        await http.request("GET", url, headers={"authorization": "Bearer x"}, timeout_s=5)
    current_trace.reset(token)
    assert (seen[0]["traceparent"], seen[0]["x-request-id"]) == (trace.traceparent, "r1")
    assert seen[0]["authorization"] == "Bearer x"


async def test_a_server_that_isnt_there_is_unavailable(http: HttpClient) -> None:
    with pytest.raises(Unavailable, match="can't be reached"):
        await http.request("GET", f"http://127.0.0.1:{free_port()}/", timeout_s=5)


async def test_a_server_that_says_nothing_is_unavailable(http: HttpClient) -> None:
    async with upstream(Exchange.left) as url:
        with pytest.raises(Unavailable, match="too long"):
            await http.request("GET", url, timeout_s=0.1)
        with pytest.raises(Unavailable, match="too long"):
            async with http.stream("GET", url, first_byte_s=0.1):
                pass


@pytest.mark.parametrize(
    "said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
async def test_a_server_that_breaks_off_or_talks_nonsense_is_a_bad_gateway(
    http: HttpClient, said: bytes
) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send(said)
        exchange.break_off()

    async with upstream(script) as url:
        with pytest.raises(BadGateway) as raised:
            await http.request("GET", url, timeout_s=5)
    assert "nonsense" not in raised.value.message


async def test_an_endless_answer_is_cut_off(http: HttpClient) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(200, b"x" * 100_000)

    async with upstream(script) as url:
        with pytest.raises(BadGateway, match="more than 1000 bytes"):
            await http.request("GET", url, timeout_s=5, limit_bytes=1000)


async def test_a_stream_that_pauses_too_long_says_so_and_can_be_waited_for(http: HttpClient) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(b"one")
        await go_on.wait()
        exchange.chunk(b"two")
        exchange.end_stream()

    async with upstream(script) as url, http.stream("GET", url, first_byte_s=5, gap_s=0.1) as answer:
        assert await anext(answer.chunks()) == b"one"
        with pytest.raises(Unavailable):
            await anext(answer.chunks())
        go_on.set()
        assert b"".join([chunk async for chunk in answer.chunks()]) == b"two"


async def test_leaving_a_stream_closes_its_connection(http: HttpClient) -> None:
    """Promise 35."""
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(b"one")
        await exchange.left()
        left.set()

    async with upstream(script) as url:
        async with http.stream("GET", url, first_byte_s=5) as answer:
            assert await anext(answer.chunks()) == b"one"
        await asyncio.wait_for(left.wait(), 1)


async def test_cluster_names_go_through_the_proxy_and_loopback_doesnt() -> None:
    seen: list[str] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange.target)
        exchange.answer(200, b"")

    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(upstream(script))
        direct = await stack.enter_async_context(upstream(script))
        http = HttpClient({"http_proxy": proxy, "no_proxy": "127.0.0.1, localhost,.inside.test"}, stack)
        await http.request("GET", "http://chat.hadal.svc.cluster.local/v1/x", timeout_s=5)
        await http.request("GET", f"{direct}/y", timeout_s=5)
    assert seen == ["http://chat.hadal.svc.cluster.local/v1/x", "/y"]


async def test_an_event_is_published_in_binary_mode_with_the_bindings_extensions(http: HttpClient) -> None:
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        exchange.answer(202, b"")

    async with upstream(script) as url:
        publisher = BrokerPublisher(
            http, f"{url}/hadal/default", overrides('{"extensions": {"zone": "a b"}}')
        )
        await publisher.publish(event("1", tenant="t"))
    assert (seen[0].method, seen[0].target) == ("POST", "/hadal/default")
    assert (seen[0].headers["ce-id"], seen[0].headers["ce-zone"], seen[0].headers["ce-tenant"]) == (
        "1",
        "a%20b",
        "t",
    )
    assert seen[0].body == b'{ "b": 1,  "a": 2}'


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500, 503])
async def test_an_event_that_the_broker_didnt_store_isnt_published(http: HttpClient, status: int) -> None:
    """Promise 46."""

    async def script(exchange: Exchange) -> None:
        exchange.answer(status, b"canary")

    async with upstream(script) as url:
        with pytest.raises(Unavailable, match=str(status)):
            await BrokerPublisher(http, url, {}).publish(event("1"))


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_an_event_that_the_broker_never_takes_is_refused_for_good(
    http: HttpClient, status: int
) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(status, b"canary")

    async with upstream(script) as url:
        with pytest.raises(Unprocessable, match=f"The broker answered {status}"):
            await BrokerPublisher(http, url, {}).publish(event("1"))


@pytest.mark.parametrize("text", ["", "x", "[]", '{"extensions": 1}', '{"extensions": {"Bad-Name": "x"}}'])
def test_overrides_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="extensions"):
        overrides(text)
