from __future__ import annotations

from typing import Any

import orjson
import pytest

from functions._runtime.errors import BadGateway, Unavailable
from tests.functions.gateway.world import (
    COMPLETION,
    JWT,
    MODEL,
    PROBLEM,
    Scripted,
    World,
    document,
    error,
    events,
)

CHAT = "POST http://chat/v1/chat/completions"
MODEL_SERVICE = "POST http://inference/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
FORGED = {
    "x-user": "admin",
    "x-forwarded-user": "admin",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "evil",
    "forwarded": "for=10.0.0.1",
    "ce-tenant": "other",
    "ce-source": "/hadal/chat",
    "host": "auth.hadal.svc.cluster.local",
    "cookie": "session=1",
    "proxy-authorization": "Basic x",
    "x-tenant": "other",
    "connection": "x-user",
}


async def test_a_call_without_a_conversation_goes_to_the_model_service_as_it_came() -> None:
    world = World()
    body = b'{ "model": "tiny", "messages": [{"role":"user","content":"x"}], "min_p": 0.10 }'
    answer = await world.call("POST", "/v1/chat/completions", body)
    assert (answer.status, document(answer)) == (200, COMPLETION)
    asked = world.servers.to("inference")[-1]
    assert (asked.method, asked.body) == ("POST", body)


async def test_a_call_with_a_conversation_goes_to_chat_with_its_names() -> None:
    world = World()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "conversation": "conv_1"}
    headers = {"idempotency-key": "once", "accept": "text/event-stream"}
    answer = await world.call("POST", "/v1/chat/completions", body, headers=headers)
    assert answer.headers["hadal-position"] == "7"
    (asked,) = world.servers.to("chat")
    assert asked.headers == {
        "authorization": "Bearer key.to.token",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "idempotency-key": "once",
    }


@pytest.mark.parametrize("conversation", [None, "conv_1"])
async def test_forged_headers_end_at_the_edge(conversation: str | None) -> None:
    """Promise 25: no header of a caller says inside who someone is."""
    world = World()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "conversation": conversation}
    await world.call("POST", "/v1/chat/completions", body, headers=FORGED)
    for asked in world.servers.asked:
        assert not FORGED.keys() & asked.headers.keys()
        assert not set(FORGED.values()) & set(asked.headers.values())


async def test_the_model_service_is_given_no_credential() -> None:
    world = World()
    await world.complete()
    assert all("authorization" not in asked.headers for asked in world.servers.to("inference"))


async def test_a_stream_is_passed_on_as_it_comes() -> None:
    world = World()
    pieces = [b'data: {"choices":[]}\n\n', DONE]
    world.servers.answers[MODEL_SERVICE] = Scripted.stream(*pieces)
    answer = await world.complete(stream=True)
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    assert await events(answer) == pieces


async def test_a_client_that_leaves_closes_the_server_s_stream() -> None:
    """Promise 35."""
    world = World()
    scripted = Scripted.stream(b"data: {}\n\n", b"data: {}\n\n", DONE)
    world.servers.answers[MODEL_SERVICE] = scripted
    answer = await world.complete(stream=True)
    assert not isinstance(answer.body, bytes)
    await anext(answer.body)
    await answer.body.aclose()  # type: ignore[attr-defined]
    assert scripted.closed_early


async def test_a_stored_turn_s_stream_tells_the_position_of_its_start() -> None:
    world = World()
    scripted = Scripted.stream(DONE)
    scripted.headers["hadal-position"] = "3"
    world.servers.answers[CHAT] = scripted
    answer = await world.complete(stream=True, conversation={"id": "conv_1"})
    assert answer.headers["hadal-position"] == "3"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b'{"model": NaN}', None),
        (b"[" * 100_000, None),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "model"),
        (b'\xef\xbb\xbf{"model":"tiny"}', None),
        (b'{"model":"\\ud800"}', None),
        (b'{"model":"tiny","model":"other"}', None),
        (b'{"n":' + b"9" * 400 + b"}", None),
        (b'{"messages":[]}', "model"),
        (b'{"model":"tiny","messages":[{"role":"user","content":"x"}],"n":' + b"9" * 30 + b"}", "n"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_bad_request(body: bytes, param: str | None) -> None:
    """Promise 32."""
    world = World()
    answer = await world.call("POST", "/v1/chat/completions", body)
    assert answer.status == 400
    assert error(answer)["type"] == "invalid_request_error"
    assert error(answer)["param"] == param
    assert world.servers.to("inference") == []


async def test_an_unknown_model_is_named() -> None:
    world = World()
    for answer in (await world.complete(model="gpt-9"), await world.call("GET", "/v1/models/gpt-9")):
        assert answer.status == 404
        assert error(answer)["code"] == "model_not_found"
        assert error(answer)["param"] == "model"
        assert "gpt-9" in error(answer)["message"]


async def test_the_models_are_asked_for_once_in_a_few_seconds() -> None:
    world = World()
    listing = "GET http://inference/v1/models"
    for _ in range(4):
        await world.complete()
    assert len([asked for asked in world.servers.asked if asked.method == "GET"]) == 1
    world.clock.pass_s(5)
    world.servers.answers[listing] = Scripted.json({"data": [{"id": "other"}]})
    assert (await world.complete()).status == 404
    assert (await world.complete(model="other")).status == 200


async def test_the_last_list_of_models_stands_while_no_newer_one_can_be_had() -> None:
    world = World()
    await world.complete()
    world.clock.pass_s(60)
    for failure in (Unavailable("away"), BadGateway("broken"), Scripted(200, [b"x"]), Scripted.json({}, 503)):
        world.servers.answers["GET http://inference/v1/models"] = failure
        assert (await world.complete()).status == 200
        assert (await world.call("GET", "/v1/models")).status in (502, 503)


async def test_models_are_listed_in_openai_s_form() -> None:
    world = World()
    listed = document(await world.call("GET", "/v1/models"))
    assert listed["object"] == "list"
    assert listed["data"][0] == {"id": MODEL, "object": "model", "created": 7, "owned_by": "hadal"}


@pytest.mark.parametrize("path", ["/v1/models/org/name", "/v1/models/org%2Fname"])
async def test_a_model_whose_name_has_a_slash_is_found(path: str) -> None:
    assert document(await World().call("GET", path))["id"] == "org/name"


@pytest.mark.parametrize(
    ("answer", "status", "kind", "code"),
    [
        (Scripted.json({"error": "x", "error_type": "validation"}, 422), 400, "invalid_request_error", None),
        (
            Scripted.json({"error": "x", "error_type": "generation"}, 424),
            502,
            "server_error",
            "upstream_error",
        ),
        (Scripted.json({"error": "x", "error_type": "overloaded"}, 429), 503, "server_error", "unavailable"),
        (Scripted.json({"error": "x"}, 500), 502, "server_error", "upstream_error"),
        (Scripted.json({"detail": "x"}, 503), 503, "server_error", "unavailable"),
        (Scripted(500, [b"Traceback: x"]), 502, "server_error", "upstream_error"),
        (Scripted(302, [b"x"], {"location": "http://x"}), 502, "server_error", "upstream_error"),
        (Scripted(401, [b"x"]), 502, "server_error", "upstream_error"),
        (Scripted(200, [b"<html>x"], {"content-type": "text/html"}), 502, "server_error", "upstream_error"),
        (Scripted(200, [b'{"choices": [']), 502, "server_error", "upstream_error"),
        (Unavailable("It can't be reached.", retry_after_s=1), 503, "server_error", "unavailable"),
        (BadGateway("It broke off."), 502, "server_error", "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_the_model_service_is_told_in_openai_s_form(
    answer: Scripted | Unavailable, status: int, kind: str, code: str | None, stream: bool
) -> None:
    """Promise 51: refusals, failures and garbage alike."""
    world = World()
    world.servers.answers[MODEL_SERVICE] = answer
    told = await world.complete(stream=stream)
    assert (told.status, error(told)["type"], error(told)["code"]) == (status, kind, code)
    assert ("retry-after" in told.headers) == (status == 503)


@pytest.mark.parametrize(
    ("body", "passed"),
    [
        ({"error": "`inputs` must have less than 10 tokens", "error_type": "validation"}, True),
        ({"error": "too many answers of tokens", "error_type": "batch size exceeded"}, True),
        ({"error": "Tool error: no tokens for tools", "error_type": "tool_error"}, True),
        ({"error": {"message": "too many tokens", "type": "BadRequestError", "code": 400}}, True),
        ({"error": {"message": "too many tokens", "type": "invalid_request_error", "param": "n"}}, True),
        ({"error": "password is hunter2 tokens", "error_type": "internal"}, False),
        ({"error": {"message": "tokens at /srv/model.py", "type": "InternalError"}}, False),
        ({"error": ["tokens"]}, False),
        ("tokens", False),
    ],
)
async def test_the_model_service_s_text_is_passed_on_only_where_it_is_about_the_request(
    body: Any, passed: bool
) -> None:
    world = World()
    world.servers.answers[MODEL_SERVICE] = Scripted.json(body, 422)
    told = await world.complete()
    assert told.status == 400
    assert ("tokens" in error(told)["message"]) == passed


async def test_a_problem_of_a_function_keeps_its_words_code_and_patience() -> None:
    world = World()
    words = {"detail": "One turn at a time.", "code": "conversation_busy", "type": "urn:x", "status": 409}
    busy = Scripted(409, [orjson.dumps(words)], {"content-type": PROBLEM, "retry-after": "2"})
    world.servers.answers[CHAT] = busy
    told = await world.complete(conversation="conv_1")
    assert (told.status, told.headers["retry-after"]) == (409, "2")
    assert error(told) == {
        "message": "One turn at a time.",
        "type": "invalid_request_error",
        "param": None,
        "code": "conversation_busy",
    }


async def test_what_a_function_refuses_for_good_is_a_bad_request_outside() -> None:
    world = World()
    words = {"detail": "The conversation is too long.", "code": "too_long", "param": "messages"}
    world.servers.answers[CHAT] = Scripted(422, [orjson.dumps(words)], {"content-type": PROBLEM})
    told = await world.complete(conversation="conv_1")
    assert (told.status, error(told)["code"], error(told)["param"]) == (400, "too_long", "messages")


async def test_a_function_that_fails_without_a_problem_is_a_bad_gateway() -> None:
    world = World()
    world.servers.answers[CHAT] = Scripted(500, [b"Traceback: secret"])
    told = await world.complete(conversation="conv_1")
    assert (told.status, error(told)["code"]) == (502, "upstream_error")
    assert "secret" not in error(told)["message"]


async def test_a_read_asks_for_the_position_that_the_writer_has_reached() -> None:
    world = World()
    world.servers.answers |= {
        "HEAD http://chat/v1/conversations/conv_1": Scripted(200, [], {"hadal-position": "12"}),
        "GET http://history/v1/conversations/conv_1/items": Scripted.json({"data": []}, hadal_position="12"),
    }
    answer = await world.call("GET", "/v1/conversations/conv_1/items", query={"limit": "5", "after": "it&m"})
    assert (answer.status, answer.headers["hadal-position"]) == (200, "12")
    head, read = world.servers.to("chat")[0], world.servers.to("history")[0]
    assert head.headers["authorization"] == read.headers["authorization"] == "Bearer key.to.token"
    assert read.url.endswith("/items?limit=5&after=it%26m")
    assert read.headers["hadal-position"] == "12"


async def test_a_read_that_names_a_position_is_passed_on_with_it() -> None:
    world = World()
    world.servers.answers["GET http://history/v1/conversations/conv_1"] = Scripted.json({"id": "conv_1"})
    await world.call("GET", "/v1/conversations/conv_1", headers={"hadal-position": "0"})
    assert world.servers.to("chat") == []
    assert world.servers.to("history")[0].headers["hadal-position"] == "0"


@pytest.mark.parametrize("position", ["-1", "x", "1" * 30, "1, 2", ""])
async def test_a_position_that_is_none_is_refused(position: str) -> None:
    world = World()
    answer = await world.call("GET", "/v1/conversations/conv_1", headers={"hadal-position": position})
    assert (answer.status, error(answer)["param"]) == (400, "hadal-position")


async def test_an_absent_conversation_is_absent_without_a_read() -> None:
    """Promise 20: the same for every verb, and `history` isn't asked about what the caller may not see."""
    world = World()
    world.servers.answers["HEAD http://chat/v1/conversations/conv_1"] = Scripted(404, [])
    for path in (
        "/v1/conversations/conv_1",
        "/v1/conversations/conv_1/items",
        "/v1/conversations/conv_1/items/i",
    ):
        answer = await world.call("GET", path)
        assert (answer.status, error(answer)["code"]) == (404, "not_found")
    assert world.servers.to("history") == []


@pytest.mark.parametrize(
    "head",
    [Unavailable("away"), Scripted(503, []), Scripted(200, []), Scripted(200, [], {"hadal-position": "x"})],
)
async def test_a_read_whose_position_cannot_be_had_is_to_be_tried_again(head: Scripted | Unavailable) -> None:
    world = World()
    world.servers.answers["HEAD http://chat/v1/conversations/conv_1"] = head
    assert (await world.call("GET", "/v1/conversations/conv_1")).status == 503


@pytest.mark.parametrize(
    "segment", ["..", "a b", "%2e%2e", "a%2Fb", "$where", "%7B%22%24gt%22%3A%22%22%7D", "x" * 129]
)
async def test_an_id_that_can_be_none_is_absent_and_reaches_no_server(segment: str) -> None:
    """Promises 23 and 24."""
    world = World()
    for method in ("GET", "POST", "DELETE"):
        answer = await world.call(method, f"/v1/conversations/{segment}")
        assert answer.status == 404
    assert [asked for asked in world.servers.asked if not asked.url.startswith("http://auth/")] == []


@pytest.mark.parametrize(
    ("method", "path", "server"),
    [
        ("POST", "/v1/conversations", "chat"),
        ("POST", "/v1/conversations/conv_1", "chat"),
        ("DELETE", "/v1/conversations/conv_1", "chat"),
        ("GET", "/v1/conversations", "history"),
        ("POST", "/v1/api_keys", "auth"),
        ("GET", "/v1/api_keys", "auth"),
        ("DELETE", "/v1/api_keys/key_1", "auth"),
        ("POST", "/v1/accounts", "auth"),
        ("GET", "/v1/accounts", "auth"),
        ("POST", "/v1/signing_keys/rotate", "auth"),
    ],
)
async def test_each_path_goes_to_the_function_that_answers_it(method: str, path: str, server: str) -> None:
    world = World()
    world.servers.answers[f"{method} http://{server}{path}"] = Scripted.json({"ok": True}, 201)
    body = {"name": "x"} if method == "POST" else None
    answer = await world.call(method, path, body, bearer=JWT)
    assert (answer.status, document(answer)) == (201, {"ok": True})
    (asked,) = world.servers.to(server)
    assert asked.body == (orjson.dumps(body) if body else None)
    assert asked.headers["authorization"] == f"Bearer {JWT}"


async def test_the_key_set_is_for_everyone() -> None:
    world = World()
    world.servers.answers["GET http://auth/.well-known/jwks.json"] = Scripted.json({"keys": []})
    assert document(await world.call("GET", "/.well-known/jwks.json", bearer=None)) == {"keys": []}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/token", 404, "unknown_url"),
        ("POST", "/bootstrap", 404, "unknown_url"),
        ("DELETE", "/v1/chat/completions", 405, "method_not_supported"),
    ],
)
async def test_what_is_not_there_is_said_in_openai_s_form(
    method: str, path: str, status: int, code: str
) -> None:
    answer = await World().call(method, path)
    assert (answer.status, error(answer)["code"]) == (status, code)
    assert error(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_an_idempotency_key_that_can_be_none_is_refused(key: str) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "conversation": "conv_1"}
    answer = await World().call("POST", "/v1/chat/completions", body, headers={"idempotency-key": key})
    assert (answer.status, error(answer)["param"]) == (400, "idempotency-key")
