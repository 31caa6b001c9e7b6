from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions._runtime.errors import BadGateway, Unavailable
from functions.gateway.openai_errors import event_of_function, event_of_model_service
from functions.gateway.relay import KEEP_ALIVE, LONGEST_EVENT_BYTES, relayed
from tests.functions.gateway.world import OpenAnswer, Piece, Scripted

DONE = b"data: [DONE]\n\n"
SILENCE = Unavailable("Nothing came.")
BREAK = BadGateway("Broke off.")


def token(text: str) -> bytes:
    return b"data: %s\n\n" % orjson.dumps({"choices": [{"delta": {"content": text}}]})


def of(*pieces: Piece, silences: int = 3) -> AsyncIterator[bytes]:
    return relayed(OpenAnswer(Scripted.stream(*pieces)), AsyncExitStack(), silences, event_of_model_service)


async def relay(*pieces: Piece, silences: int = 3) -> list[bytes]:
    return [chunk async for chunk in of(*pieces, silences=silences)]


def error_of(event: bytes) -> dict[str, object]:
    value = orjson.loads(event.removeprefix(b"data: "))
    return dict(value["error"])


async def test_events_are_passed_on_as_they_came_one_by_one() -> None:
    pieces = [token("a"), token("b"), DONE]
    assert await relay(*pieces) == pieces


async def test_an_event_is_passed_on_before_the_next_one_is_there() -> None:
    gate = asyncio.Event()
    stream = of(token("a"), gate, DONE)
    assert await anext(stream) == token("a")
    assert not gate.is_set()
    gate.set()
    assert await anext(stream) == DONE


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(st.lists(st.integers(min_value=1, max_value=60), max_size=30))
async def test_however_a_stream_is_cut_into_pieces_the_same_whole_events_come_out(cuts: list[int]) -> None:
    whole = token("first") + token('an "error" in words\n\n') + b": comment\n\n" + token("last") + DONE
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(whole[at : at + cut])
        at += cut
    out = await relay(*(piece for piece in [*pieces, whole[at:]] if piece))
    assert b"".join(out) == whole
    assert all(chunk.endswith(b"\n\n") for chunk in out)


async def test_events_that_end_with_carriage_returns_are_whole_too() -> None:
    stream = b"data: {}\r\n\r\ndata: [DONE]\r\n\r\n"
    assert b"".join(await relay(stream[:9], stream[9:13], stream[13:])) == stream


@pytest.mark.parametrize("end", [[], [BREAK]], ids=["without a word", "with a broken connection"])
@pytest.mark.parametrize("begun", [[], [b'data: {"choi']], ids=["between events", "within an event"])
async def test_a_stream_that_breaks_off_ends_with_an_error_and_no_done(
    end: list[Piece], begun: list[Piece]
) -> None:
    """Promise 52: no false [DONE], and no half event that a client would fail to read."""
    first, last = await relay(token("a"), *begun, *end)
    assert first == token("a")
    assert error_of(last)["code"] == "upstream_error"
    assert error_of(last)["type"] == "server_error"


async def test_a_stream_that_never_begins_ends_with_an_error() -> None:
    (last,) = await relay()
    assert error_of(last)["code"] == "upstream_error"


async def test_silence_is_filled_with_comments_and_the_stream_goes_on() -> None:
    """Promise 53: heartbeats."""
    out = await relay(token("a"), SILENCE, SILENCE, token("b"), SILENCE, SILENCE, DONE)
    assert out == [token("a"), KEEP_ALIVE, KEEP_ALIVE, token("b"), KEEP_ALIVE, KEEP_ALIVE, DONE]


async def test_too_much_silence_ends_the_stream_with_an_error() -> None:
    """Promise 53: then a deadline."""
    *beats, last = await relay(token("a"), SILENCE, SILENCE, SILENCE, token("b"), DONE)
    assert beats == [token("a"), KEEP_ALIVE, KEEP_ALIVE]
    assert error_of(last)["code"] == "upstream_timeout"


async def test_a_heartbeat_never_stands_within_an_event() -> None:
    out = await relay(b'data: {"choices"', SILENCE, b": []}\n\n", DONE)
    assert out == [KEEP_ALIVE, b'data: {"choices": []}\n\n', DONE]


async def test_what_follows_done_is_not_passed_on() -> None:
    assert await relay(token("a"), DONE, token("b")) == [token("a"), DONE]
    assert await relay(DONE, SILENCE) == [DONE]
    assert await relay(DONE, BREAK) == [DONE]


async def test_an_error_event_of_tgi_is_told_in_openai_s_form_and_ends_the_stream() -> None:
    data = {"error": {"message": "CUDA: at 0x7f", "type": "generation", "http_status_code": 424}}
    out = await relay(token("a") + b"data: %s\n\n" % orjson.dumps(data), token("b"), DONE)
    before, event = b"".join(out).split(b"\n\n")[:2]
    assert before + b"\n\n" == token("a")
    assert error_of(event)["type"] == "server_error"
    assert "CUDA" not in str(error_of(event)["message"])


async def test_an_overload_in_mid_stream_keeps_its_meaning() -> None:
    (event,) = await relay(b'data: {"error":"Model is overloaded","error_type":"overloaded"}\n\n')
    assert error_of(event)["type"] == "server_error"


async def test_an_error_event_of_our_own_function_is_passed_on_as_it_is() -> None:
    event = b'data: {"error":{"message":"It broke off.","type":"server_error","param":null,"code":"x"}}\n\n'
    answer = OpenAnswer(Scripted.stream(token("a"), event))
    out = [each async for each in relayed(answer, AsyncExitStack(), 3, event_of_function)]
    assert out == [token("a"), event]


async def test_a_model_that_talks_about_errors_is_no_error() -> None:
    pieces = [token('{"error": "x"}'), token("error"), b'data: {"choices":[],"error":null}\n\n', DONE]
    assert await relay(*pieces) == pieces


async def test_an_event_without_an_end_is_given_up() -> None:
    pieces = [b"data: " + b"x" * (LONGEST_EVENT_BYTES // 2)] * 3
    (last,) = await relay(*pieces, token("late"))
    assert error_of(last)["code"] == "upstream_error"


@pytest.mark.parametrize("pieces", [[token("a"), token("b")], [token("a"), asyncio.Event(), token("b")]])
async def test_a_client_that_leaves_closes_the_connection_at_once(pieces: list[Piece]) -> None:
    """Promise 35: the server behind sees it and generates no further token."""
    closed = asyncio.Event()
    connection = AsyncExitStack()
    connection.callback(closed.set)
    stream = relayed(OpenAnswer(Scripted.stream(*pieces)), connection, 3, event_of_model_service)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()
