"""What an unchanged OpenAI client sees: models, answers, streams, errors."""

from __future__ import annotations

import threading

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.journeys.model_server import MODEL, Die, ModelServer
from tests.journeys.system import Door

pytestmark = pytest.mark.slow

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]


def test_the_models_are_listed_and_found_by_name(system: Door) -> None:
    client = system.client()
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_question_is_answered(system: Door) -> None:
    answer = system.client().chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "1 hello there"
    assert answer.usage is not None and answer.usage.prompt_tokens == 10


def test_a_streamed_answer_comes_piece_by_piece(system: Door, model: ModelServer) -> None:
    gate = threading.Event()
    with model.answering(lambda _: ["first", gate, " second"]):
        stream = system.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        pieces = (chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert next(pieces) == "first"
        gate.set()
        assert "".join(pieces) == " second"


def test_a_stateless_call_is_stored_nowhere(system: Door) -> None:
    with system.http() as http:
        before = http.get("/v1/conversations").json()["data"]
        system.client().chat.completions.create(model=MODEL, messages=HELLO)
        assert http.get("/v1/conversations").json()["data"] == before


@pytest.mark.parametrize("key", ["x", "sk-nothing", "hdl_0_0", "a.b.c"])
def test_a_wrong_key_is_refused_in_openais_form(system: Door, key: str) -> None:
    answer = httpx2.get(f"{system.url}/v1/models", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_call_without_a_key_is_refused(system: Door) -> None:
    assert httpx2.post(f"{system.url}/v1/chat/completions", json={}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"model": "echo"}',
        b'{"model": "echo", "messages": "hi"}',
        b'{"messages": []}',
        b"\xff",
    ],
)
def test_a_body_that_is_no_request_is_refused_with_a_reason(system: Door, body: bytes) -> None:
    with system.http() as http:
        answer = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_an_unknown_model_is_not_found(system: Door) -> None:
    with pytest.raises(openai.NotFoundError, match="nothing-like-it"):
        system.client().chat.completions.create(model="nothing-like-it", messages=HELLO)


def test_a_model_that_dies_in_mid_stream_ends_the_stream_with_an_error(
    system: Door, model: ModelServer
) -> None:
    """Promise 52."""
    gate = threading.Event()
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    with (
        model.answering(lambda _: ["half an", gate, Die()]),
        system.http() as http,
        http.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        lines = answer.iter_lines()
        assert any("half an" in line for line in lines)
        gate.set()
        rest = "\n".join(lines)
    assert '"error"' in rest
    assert "[DONE]" not in rest


def test_services_other_than_the_gateway_are_not_reached_from_outside(system: Door) -> None:
    for host in ("chat.hadal.svc.cluster.local", "auth.hadal.example.com", "inference.hadal"):
        answer = httpx2.get(f"{system.url}/v1/conversations", headers={"host": host})
        assert answer.status_code in (401, 404), host
