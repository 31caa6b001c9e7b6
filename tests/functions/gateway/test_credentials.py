from __future__ import annotations

import asyncio

import pytest

from functions._runtime.errors import Unavailable
from functions.gateway.recent import Recent
from tests.functions.gateway.world import API_KEY, JWT, Scripted, World, document, error

REFUSED = Scripted.json({"error": "invalid_request", "error_description": "no"}, 400)


def key(number: int) -> str:
    return f"hdl_{number:032x}_{'s' * 43}"


async def test_an_api_key_is_exchanged_and_the_token_goes_inside() -> None:
    world = World()
    assert (await world.complete(conversation="conv_1")).status == 200
    (asked,) = world.servers.to("auth")
    assert asked.body is not None
    assert b"subject_token=" + API_KEY.encode() in asked.body
    (turn,) = world.servers.to("chat")
    assert turn.headers["authorization"] == "Bearer key.to.token"


async def test_a_key_in_use_is_exchanged_once_in_thirty_seconds() -> None:
    """Promise 11: thirty seconds are the bound within which a revoked key stops."""
    world = World()
    for _ in range(5):
        await world.complete()
        world.clock.pass_s(5)
    assert len(world.servers.to("auth")) == 1
    world.clock.pass_s(5)
    world.servers.answers["POST http://auth/token"] = REFUSED
    assert (await world.complete()).status == 401
    assert len(world.servers.to("auth")) == 2


async def test_a_token_that_ends_earlier_is_kept_no_longer_than_it_is_good() -> None:
    world = World()
    short = {"access_token": "t", "token_type": "Bearer", "expires_in": 10}
    world.servers.answers["POST http://auth/token"] = Scripted.json(short)
    await world.complete()
    world.clock.pass_s(10)
    await world.complete()
    assert len(world.servers.to("auth")) == 2


async def test_calls_at_once_with_one_key_make_one_exchange() -> None:
    world = World()
    gate = asyncio.Event()
    answer = Scripted.json({"access_token": "t", "token_type": "Bearer", "expires_in": 300})
    answer.begins_at = gate
    world.servers.answers["POST http://auth/token"] = answer
    calls = [asyncio.create_task(world.complete()) for _ in range(20)]
    await asyncio.sleep(0)
    calls[0].cancel()
    gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(not isinstance(each, BaseException) and each.status == 200 for each in answers[1:])
    assert len(world.servers.to("auth")) == 1


async def test_a_refused_key_is_refused_for_a_few_seconds_without_a_call() -> None:
    world = World()
    world.servers.answers["POST http://auth/token"] = REFUSED
    answers = [await world.complete() for _ in range(3)]
    assert [answer.status for answer in answers] == [401, 401, 401]
    assert error(answers[0])["code"] == "invalid_api_key"
    assert len(world.servers.to("auth")) == 1
    world.clock.pass_s(5)
    await world.complete()
    assert len(world.servers.to("auth")) == 2


async def test_a_flood_of_guesses_pushes_no_good_key_out() -> None:
    world = World()
    await world.complete()
    world.servers.answers["POST http://auth/token"] = REFUSED
    for number in range(1, 100):
        assert (await world.call("GET", "/v1/models", bearer=key(number))).status == 401
    asked = len(world.servers.to("auth"))
    assert (await world.complete()).status == 200
    assert len(world.servers.to("auth")) == asked


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable("auth can't be reached."),
        Scripted.json({"error": "server_error"}, 500),
        Scripted.json({"error": "unsupported_grant_type"}, 400),
        Scripted.json({"detail": "down"}, 503),
        Scripted.json({"token": "x"}),
        Scripted.json([]),
        Scripted(200, [b"<html>"]),
    ],
)
async def test_where_a_key_cannot_be_checked_the_answer_is_to_try_again(
    answer: Scripted | Unavailable,
) -> None:
    world = World()
    world.servers.answers["POST http://auth/token"] = answer
    refused = await world.complete()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert error(refused)["type"] == "server_error"
    world.servers.answers["POST http://auth/token"] = World().servers.answers["POST http://auth/token"]
    assert (await world.complete()).status == 200


async def test_a_jwt_is_verified_here_and_passed_on() -> None:
    world = World()
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "conversation": "conv_1"}
    assert (await world.call("POST", "/v1/chat/completions", body, bearer=JWT)).status == 200
    assert world.servers.to("chat")[0].headers["authorization"] == f"Bearer {JWT}"
    assert world.servers.to("auth") == []


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic abc",
        "Bearer",
        "Bearer ",
        "Bearer x.y.z",
        "Bearer hdl_",
        f"Bearer {API_KEY}x",
        API_KEY,
    ],
)
async def test_without_a_good_credential_nothing_inside_is_asked(authorization: str | None) -> None:
    world = World()
    headers = {} if authorization is None else {"authorization": authorization}
    for method, path in [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/conversations/c"),
    ]:
        answer = await world.call(method, path, b"not even JSON", headers=headers, bearer=None)
        assert answer.status == 401
        assert error(answer)["type"] == "invalid_request_error"
    assert world.servers.asked == []


async def test_an_api_key_is_never_repeated_in_an_answer() -> None:
    """Promise 62."""
    world = World()
    world.servers.answers["POST http://auth/token"] = REFUSED
    assert API_KEY not in str(document(await world.complete()))


def test_the_memory_of_keys_is_bounded_and_loses_what_was_used_longest_ago() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(b"a", 1, from_s=0, for_s=10)
    recent.put(b"b", 2, from_s=0, for_s=10)
    assert recent.get(b"a", 5) == 1
    recent.put(b"c", 3, from_s=0, for_s=10)
    assert (recent.get(b"a", 5), recent.get(b"b", 5), recent.get(b"c", 5)) == (1, None, 3)


def test_what_was_found_out_is_not_believed_after_its_time_or_before_it() -> None:
    """Promise 55: a clock that is set back makes nothing good for longer."""
    recent: Recent[int] = Recent(2)
    recent.put(b"a", 1, from_s=100, for_s=10)
    assert recent.get(b"a", 110) is None
    recent.put(b"a", 1, from_s=100, for_s=10)
    assert recent.get(b"a", 99) is None
