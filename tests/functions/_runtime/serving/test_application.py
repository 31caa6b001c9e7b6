from __future__ import annotations

import asyncio

import orjson
import pytest

from functions._runtime.testing import FunctionClient
from tests.functions._runtime.serving.demo import Demo


async def test_a_route_gets_its_path_and_query() -> None:
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("GET", "/things/a%2Fb%20c?x=1&y=%C3%A4&x=2")
    assert answer.status == 200
    assert answer.json() == {"id": "a/b c", "query": {"x": "2", "y": "ä"}}


async def test_an_unknown_path_is_a_problem() -> None:
    async with FunctionClient(Demo().application()) as client:
        for target in ("/", "/nowhere", "/things", "/things/", "/things/a/b", "/robots.txt", "/things/%ff"):
            answer = await client.request("GET", target)
            assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
            assert answer.json()["code"] == "unknown_path"


async def test_another_method_is_told_which_ones_there_are() -> None:
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("DELETE", "/things/1")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        probe = await client.request("POST", "/healthz")
        assert (probe.status, probe.headers["allow"]) == (405, "GET, HEAD")


async def test_a_problem_of_the_handler_is_told_with_its_field_and_request_id() -> None:
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("GET", "/things/absent", headers={"x-request-id": "mine-1"})
    assert answer.json() == {
        "type": "urn:hadal:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such thing.",
        "code": "not_found",
        "request_id": "mine-1",
        "param": "id",
    }
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 200, "a\tb", '{"a"}', "ä"])
async def test_a_request_id_that_could_break_a_log_is_replaced(sent: str) -> None:
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("GET", "/healthz", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_an_unknown_exception_tells_nobody_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise 62: canaries in the exception, a header and the URL are in no answer and no log line."""
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request(
            "GET",
            "/secret-failure?q=canary-in-url",
            headers={"authorization": "Bearer canary-token", "x-other": "canary-in-header"},
        )
    assert answer.status == 500
    assert b"canary" not in answer.body
    logged = capsys.readouterr().err
    lines = [orjson.loads(line) for line in logged.splitlines()]
    failed = next(line for line in lines if line["event"] == "request_failed")
    assert failed["error"] == "builtins.ValueError"
    assert any("secret_failure" in frame for frame in failed["frames"])
    assert failed["request_id"] == answer.json()["request_id"]
    assert "canary" not in logged


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"null",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,
        b'{"a": 1} x',
        b"{'a': 1}",
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_json_that_is_none_is_a_bad_request(body: bytes) -> None:
    """Promise 32."""
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("POST", "/echo", body=body)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_json")


async def test_a_huge_integer_is_no_failure() -> None:
    """Promise 32: it is a number, and what it means is the handler's to say."""
    async with FunctionClient(Demo().application()) as client:
        answer = await client.request("POST", "/echo", body=b'{"a": ' + b"9" * 4000 + b"}")
    assert answer.status in (200, 400)


async def test_a_query_that_isnt_utf8_is_a_bad_request() -> None:
    async with FunctionClient(Demo().application()) as client:
        assert (await client.request("GET", "/things/1?a=%ff")).status == 400
        assert (await client.request("GET", "/things/1?" + "&".join(["a=1"] * 101))).status == 400


async def test_a_body_over_the_limit_is_413_in_the_functions_form() -> None:
    """Promise 31."""
    async with FunctionClient(Demo().application({"MAX_BODY_BYTES": "10"})) as client:
        declared = await client.request("POST", "/echo", body=b'{"a": "too long"}')
        undeclared = await client.request(
            "POST", "/echo", body=b'{"a": 12345}', headers={"content-length": ""}
        )
        assert (await client.request("POST", "/echo", body=b'{"a": 123}')).status == 200
    assert declared.status == undeclared.status == 413
    assert declared.json()["code"] == "payload_too_large"


async def test_a_client_that_leaves_closes_the_stream() -> None:
    """Promise 35: what feeds the stream is told at once."""
    demo = Demo()
    async with FunctionClient(demo.application()) as client:
        async with client.stream("GET", "/stream") as stream:
            assert await anext(stream.chunks()) == b"data: 1\n\n"
        await asyncio.wait_for(demo.stream_closed.wait(), 1)


async def test_a_stream_ends_properly_when_its_handler_does() -> None:
    demo = Demo()
    demo.go_on.set()
    async with FunctionClient(demo.application()) as client:
        answer = await client.request("GET", "/stream")
    assert answer.body == b"data: 1\n\ndata: 2\n\n"
    assert demo.stream_closed.is_set()


async def test_a_stream_that_fails_is_broken_off_and_never_ended() -> None:
    """Promise 52: no answer looks whole that isn't."""
    async with (
        FunctionClient(Demo().application()) as client,
        client.stream("GET", "/broken-stream") as stream,
    ):
        with pytest.raises(ConnectionError):
            [chunk async for chunk in stream.chunks()]


async def test_a_handler_that_may_stop_is_cancelled_when_its_client_leaves() -> None:
    demo = Demo()
    async with FunctionClient(demo.application()) as client:
        asking = asyncio.create_task(client.request("GET", "/wait"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait_for(demo.cancelled.wait(), 1)
        demo.go_on.set()
        assert (await client.request("GET", "/wait")).status == 200


async def test_alive_says_nothing_about_ready() -> None:
    demo = Demo(failures_left=1)
    async with FunctionClient(demo.application()) as client:
        assert (await client.request("GET", "/healthz")).json() == {"status": "alive"}
        ready = await client.request("GET", "/readyz")
        assert ready.status == 503
        assert ready.json()["missing"] == ["The function isn't ready: the store is away"]


async def test_what_is_missing_is_named_until_it_is_there() -> None:
    demo = Demo(missing="the disk is full")
    async with FunctionClient(demo.application()) as client:
        ready = await client.request("GET", "/readyz")
        assert (ready.status, ready.json()["missing"]) == (503, ["store: the disk is full"])
        demo.missing = ""
        assert (await client.request("GET", "/readyz")).json() == {"status": "ready"}


async def test_a_build_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions._runtime.serving.lifecycle.RETRY_AFTER_S", 0)
    demo = Demo(failures_left=2)
    async with FunctionClient(demo.application()) as client:
        statuses = [(await client.request("GET", "/things/1")).status for _ in range(3)]
    assert statuses == [503, 503, 200]


async def test_requests_that_come_at_once_share_one_build() -> None:
    builds = 0
    demo = Demo()
    original = demo.build

    async def counted(settings, ground):  # type: ignore[no-untyped-def]
        nonlocal builds
        builds += 1
        await asyncio.sleep(0)
        return await original(settings, ground)

    demo.build = counted  # type: ignore[method-assign]
    async with FunctionClient(demo.application()) as client:
        answers = await asyncio.gather(*(client.request("GET", "/things/1") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert builds == 1


async def test_at_the_end_the_background_stops_before_the_stack_closes() -> None:
    demo = Demo()
    async with FunctionClient(demo.application()) as client:
        await client.request("GET", "/readyz")
        await asyncio.sleep(0)
    assert demo.order == ["background ended", "stack closed"]


async def test_metrics_count_requests_by_route_and_not_by_path() -> None:
    async with FunctionClient(Demo().application()) as client:
        for target in ("/things/1", "/things/2", "/things/absent", "/no/such/canary"):
            await client.request("GET", target)
        text = (await client.request("GET", "/metrics")).body.decode()
    assert 'hadal_requests_total{method="GET",route="/things/{id}",status="200"} 2.0' in text
    assert 'hadal_requests_total{method="GET",route="/things/{id}",status="404"} 1.0' in text
    assert 'hadal_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "hadal_requests_in_flight 1.0" in text
    assert "canary" not in text
