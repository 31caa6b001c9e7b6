from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.service import LIMITS, fake_model, running

HELLO = {"messages": [{"role": "user", "content": "hi"}]}


def usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def chunks_of(events: list[bytes]) -> list[dict[str, Any]]:
    assert events[-1] == b"[DONE]"
    return [orjson.loads(event) for event in events[:-1]]


async def test_a_chat_answer_has_message_reason_and_exact_usage() -> None:
    async with running(fake_model("Hello", cached_tokens=4)) as service:
        status, answer = await service.post("/v1/chat/completions", HELLO)
        (request,) = service.engine.requests
        assert service.model.tokenizer.decode(list(request.prompt_ids)) == "[user]hi\n[assistant]"
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "fake-model"
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None
    assert answer["usage"] == usage(20, 6, cached_tokens=4)


async def test_a_chat_stream_has_the_role_once_the_reason_last_and_then_done() -> None:
    async with running(fake_model("Hé")) as service:
        chunks = chunks_of(await service.events("/v1/chat/completions", {**HELLO, "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "H"}
    assert "".join(delta["content"] for delta in deltas) == "Hé"
    assert not any("role" in delta for delta in deltas[1:])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_usage_comes_in_a_last_chunk_of_its_own_where_it_is_asked_for() -> None:
    async with running(fake_model("Hello", cached_tokens=4)) as service:
        body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        chunks = chunks_of(await service.events("/v1/chat/completions", body))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == usage(20, 6, cached_tokens=4)


async def test_a_stop_sequence_over_token_borders_is_never_shown() -> None:
    async with running(fake_model("one STOP two")) as service:
        body = {**HELLO, "stop": "STOP", "stream": True}
        chunks = chunks_of(await service.events("/v1/chat/completions", body))
        whole = (await service.post("/v1/chat/completions", {**body, "stream": False}))[1]
    contents = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert "".join(contents) == "one "
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["message"]["content"] == "one "
    assert whole["usage"]["completion_tokens"] == 8


async def test_log_probabilities_are_there_for_every_token_that_is_text() -> None:
    async with running(fake_model("Hé")) as service:
        body = {**HELLO, "logprobs": True, "top_logprobs": 2}
        _, whole = await service.post("/v1/chat/completions", body)
        chunks = chunks_of(await service.events("/v1/chat/completions", {**body, "stream": True}))
    content = whole["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["H", "", "é"]
    assert content[0]["bytes"] == [72]
    assert [len(entry["top_logprobs"]) for entry in content] == [2, 2, 2]
    streamed = [entry for chunk in chunks for entry in chunk["choices"][0]["logprobs"]["content"]]
    assert streamed == content


async def test_temperature_zero_is_greedy_and_any_other_or_none_samples() -> None:
    async with running(fake_model("a")) as service:
        for temperature in (0, None, 0.7):
            await service.post(
                "/v1/chat/completions", {**HELLO, "temperature": temperature, "top_p": 1, "seed": 5}
            )
        sampled = [request.sampling for request in service.engine.requests]
    assert [sampling.do_sample for sampling in sampled] == [False, True, True]
    assert [sampling.temperature for sampling in sampled] == [1.0, 1.0, 0.7]
    assert {sampling.top_p for sampling in sampled} == {1.0}
    assert {sampling.seed for sampling in sampled} == {5}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_both_names_of_the_limit_are_honoured(name: str) -> None:
    async with running(fake_model("Hello")) as service:
        _, answer = await service.post("/v1/chat/completions", {**HELLO, name: 2})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "He"


async def test_text_parts_and_the_role_developer_reach_the_template_as_it_knows_them() -> None:
    messages = [
        {"role": "developer", "content": "short"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    async with running(fake_model("a")) as service:
        _, answer = await service.post("/chat_tokenize", {"messages": messages})
    assert answer["templated_text"] == "[system]short\n[user]ab\n[assistant]"
    assert "".join(token["text"] for token in answer["tokenize_response"]) == answer["templated_text"]


async def test_a_last_message_of_the_assistant_is_continued() -> None:
    messages = [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one, "}]
    async with running(fake_model("a")) as service:
        _, answer = await service.post("/chat_tokenize", {"messages": messages})
    assert answer["templated_text"] == "[user]count\n[assistant]one, "


@pytest.mark.parametrize(
    ("difference", "error_type", "words"),
    [
        ({"messages": []}, "validation", "`messages` must hold at least one message"),
        ({"messages": None}, "validation", "missing field `messages`"),
        ({"messages": [{"content": "x"}]}, "validation", "missing field `messages[0].role`"),
        ({"messages": [{"role": "user", "content": 3}]}, "validation", "`messages[0].content` must be"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "validation",
            "image modality is not supported",
        ),
        ({"n": 0}, "validation", "`n` must be an integer from 1"),
        ({"n": 3}, "batch size exceeded", "prompts times `n` exceeds the maximum allowed batch size of 2"),
        ({"top_logprobs": 2}, "validation", "`top_logprobs` needs `logprobs`"),
        (
            {"logprobs": True, "top_logprobs": 9},
            "validation",
            "`top_n_tokens` must be >= 0 and <= 5. Given: 9",
        ),
        (
            {"response_format": {"type": "yaml"}},
            "validation",
            "`response_format.type` must be one of text, json_object, json_schema. Given: 'yaml'",
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "validation",
            "missing field `response_format.json_schema`",
        ),
        ({"presence_penalty": 3}, "validation", "`presence_penalty` must be >= -2.0 and <= 2.0"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "tool_error",
            "the model's chat template has no tools",
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_with_a_reason(
    difference: dict[str, Any], error_type: str, words: str
) -> None:
    async with running(fake_model("a")) as service:
        for stream in (False, True):
            status, answer = await service.post(
                "/v1/chat/completions", {**HELLO, **difference, "stream": stream}
            )
            assert (status, answer["error_type"]) == (422, error_type)
            assert words in answer["error"]


async def test_an_error_in_mid_stream_ends_it_without_done() -> None:
    """Promise 52: a stream that fails ends with an explicit error, never a false `[DONE]`."""
    async with running(fake_model("abc", fail_after=2)) as service:
        events = await service.events("/v1/chat/completions", {**HELLO, "stream": True})
    assert b"[DONE]" not in events
    assert orjson.loads(events[-1])["error"]["http_status_code"] == 424


async def test_several_prompts_give_several_choices_and_one_usage() -> None:
    async with running(fake_model("xy", cached_tokens=1)) as service:
        _, answer = await service.post("/v1/completions", {"prompt": ["a", "bc"], "temperature": 0})
        body = {"prompt": ["a", "bc"], "stream": True, "stream_options": {"include_usage": True}}
        chunks = chunks_of(await service.events("/v1/completions", body))
    assert answer["object"] == "text_completion"
    assert [(choice["index"], choice["text"], choice["finish_reason"]) for choice in answer["choices"]] == [
        (0, "xy", "stop"),
        (1, "xy", "stop"),
    ]
    assert answer["usage"] == usage(3, 6, cached_tokens=2)
    assert chunks[-1]["usage"] == answer["usage"]
    text = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        text[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert text == {0: "xy", 1: "xy"}


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        ({"prompt": "a", "suffix": "b"}, "suffix not supported"),
        ({"prompt": ["a", "b", "c"]}, "batch size exceeded"),
        ({"prompt": ["a", "b"], "n": 2}, "batch size exceeded"),
        ({"prompt": []}, "validation"),
        ({}, "validation"),
    ],
)
async def test_a_completion_that_cannot_be_served_is_refused(body: object, error_type: str) -> None:
    async with running(fake_model("a")) as service:
        status, answer = await service.post("/v1/completions", body)
    assert (status, answer["error_type"]) == (422, error_type)


async def test_the_served_model_is_listed() -> None:
    async with running(fake_model("a")) as service, service.http.get(service.url + "/v1/models") as response:
        listed = await response.json()
    assert listed == {
        "object": "list",
        "data": [{"id": "fake-model", "object": "model", "created": 0, "owned_by": "fake-model"}],
    }


@pytest.mark.parametrize(
    ("path", "body", "prompt", "characters"),
    [
        ("/v1/chat/completions", HELLO, 20, 20),
        ("/v1/completions", {"prompt": ["abc", "de"]}, 5, 5),
    ],
)
async def test_the_headers_are_tgis_on_these_routes_too(
    path: str, body: dict[str, Any], prompt: int, characters: int
) -> None:
    async with running(fake_model("Hello")) as service:
        async with service.http.post(service.url + path, json=body) as response:
            assert response.status == 200
            headers = response.headers
        assert headers["x-compute-characters"] == str(characters)
        assert headers["x-prompt-tokens"] == str(prompt)
        assert headers["x-generated-tokens"] == str(6 * len(body.get("prompt", "x")))
        for name in ("total", "validation", "queue", "inference"):
            assert int(headers[f"x-{name}-time"]) >= 0
        async with service.http.post(service.url + path, json={**body, "stream": True}) as response:
            assert response.headers["x-compute-type"] == "cpu"
            assert response.headers["x-compute-characters"] == str(characters)


async def test_a_completion_without_a_limit_has_a_hundred_tokens_or_what_is_left_of_the_window() -> None:
    for window, granted in ((64, 61), (1_000, 100)):
        limits = replace(LIMITS, max_total_tokens=window)
        async with running(fake_model("a", limits=limits)) as service:
            await service.post("/v1/completions", {"prompt": "abc"})
            (request,) = service.engine.requests
        assert request.max_new_tokens == granted


async def test_a_top_p_out_of_range_is_refused_at_every_temperature() -> None:
    async with running(fake_model("a")) as service:
        for temperature in (0, 1):
            body = {**HELLO, "temperature": temperature, "top_p": 1.5}
            status, answer = await service.post("/v1/chat/completions", body)
            assert (status, "`top_p` must be > 0.0 and < 1.0" in answer["error"]) == (422, True)
        assert (await service.post("/v1/chat/completions", {**HELLO, "temperature": 0, "top_p": 0.9}))[
            0
        ] == 200


async def test_one_route_takes_requests_of_every_kind() -> None:
    async with running(fake_model("Hello")) as service:
        _, chat = await service.post("/invocations", HELLO)
        _, completion = await service.post("/invocations", {"prompt": "abc"})
        _, plain = await service.post("/invocations", {"inputs": "abc"})
        status, refused = await service.post("/invocations", {})
    assert (chat["object"], completion["object"]) == ("chat.completion", "text_completion")
    assert plain == [{"generated_text": "abcHello"}]
    assert (status, refused["error"]) == (422, "Input validation error: missing field `inputs`")
