from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from inference.answers_together import together
from inference.engine.port import Sampling
from inference.errors import GenerationFailedError
from tests.byte_tokenizer import END
from tests.service import fake_model, running


async def test_generate_answers_with_the_text_alone() -> None:
    async with running(fake_model("Hello")) as service:
        assert await service.post("/generate", {"inputs": "abc"}) == (200, {"generated_text": "Hello"})


async def test_the_engine_gets_the_prompt_and_the_rest_of_the_window() -> None:
    async with running(fake_model("Hello")) as service:
        await service.post("/generate", {"inputs": "abc"})
        (request,) = service.engine.requests
        assert len(request.prompt_ids) == 3
        assert request.max_new_tokens == 61
        assert not request.sampling.do_sample


async def test_details_have_every_token_and_the_reason() -> None:
    async with running(fake_model("Hi")) as service:
        body = {"inputs": "abc", "parameters": {"details": True, "top_n_tokens": 2}}
        _, answer = await service.post("/generate", body)
    details = answer["details"]
    assert details["finish_reason"] == "eos_token"
    assert details["generated_tokens"] == 3
    assert details["seed"] is None
    assert details["prefill"] == []
    assert [token["text"] for token in details["tokens"]] == ["H", "i", END]
    assert [token["special"] for token in details["tokens"]] == [False, False, True]
    assert [len(top) for top in details["top_tokens"]] == [2, 2, 2]


async def test_decoder_input_details_show_the_prompt() -> None:
    async with running(fake_model("Hi")) as service:
        body = {"inputs": "ab", "parameters": {"decoder_input_details": True}}
        _, answer = await service.post("/generate", body)
    prefill = answer["details"]["prefill"]
    assert [(token["text"], token["logprob"]) for token in prefill] == [("a", None), ("b", -1.0)]


async def test_the_answer_ends_where_the_limit_is() -> None:
    async with running(fake_model("Hello")) as service:
        body = {"inputs": "abc", "parameters": {"max_new_tokens": 2, "details": True}}
        _, answer = await service.post("/generate", body)
    assert answer["generated_text"] == "He"
    assert answer["details"]["finish_reason"] == "length"
    assert answer["details"]["generated_tokens"] == 2


async def test_a_stop_sequence_ends_the_answer_and_is_part_of_it_as_in_tgi() -> None:
    async with running(fake_model("one, two, three")) as service:
        body = {"inputs": "abc", "parameters": {"stop": ["tw"], "details": True}}
        _, answer = await service.post("/generate", body)
        assert answer["generated_text"] == "one, tw"
        assert answer["details"]["finish_reason"] == "stop_sequence"
        assert answer["details"]["generated_tokens"] == service.engine.produced == 7


async def test_the_prompt_comes_back_where_it_is_asked_for() -> None:
    async with running(fake_model("!")) as service:
        body = {"inputs": "abc", "parameters": {"return_full_text": True}}
        assert (await service.post("/generate", body))[1]["generated_text"] == "abc!"


async def test_the_compatible_route_answers_with_a_list_and_the_prompt() -> None:
    async with running(fake_model("!")) as service:
        assert await service.post("/", {"inputs": "abc"}) == (200, [{"generated_text": "abc!"}])
        events = await service.events("/", {"inputs": "abc", "stream": True})
    assert orjson.loads(events[-1])["generated_text"] == "abc!"


async def test_truncate_keeps_the_end_of_the_prompt() -> None:
    async with running(fake_model("!")) as service:
        await service.post("/generate", {"inputs": "abcdef", "parameters": {"truncate": 2}})
        request = service.engine.requests[0]
        assert service.model.tokenizer.decode(list(request.prompt_ids)) == "ef"


async def test_a_stream_has_one_event_a_token_and_the_text_in_the_last() -> None:
    async with running(fake_model("é!")) as service:
        body = {"inputs": "abc", "parameters": {"details": True}}
        events = [orjson.loads(event) for event in await service.events("/generate_stream", body)]
    assert [event["index"] for event in events] == [1, 2, 3, 4]
    assert [event["token"]["text"] for event in events] == ["", "é", "!", END]
    assert [event["generated_text"] for event in events] == [None, None, None, "é!"]
    assert events[-1]["details"] == {
        "finish_reason": "eos_token",
        "generated_tokens": 4,
        "seed": None,
        "input_length": 3,
    }


async def test_events_are_written_as_tgi_writes_them() -> None:
    async with running(fake_model("a")) as service:
        async with service.http.post(service.url + "/generate_stream", json={"inputs": "abc"}) as response:
            text = await response.read()
    assert text.startswith(b'data:{"index":1,')
    assert text.endswith(b"\n\n")
    assert b"[DONE]" not in text


async def test_sampling_is_passed_on_and_the_seed_is_told() -> None:
    parameters = {"temperature": 0.5, "top_k": 4, "top_p": 0.9, "typical_p": 0.8, "seed": 7, "details": True}
    penalties = {"repetition_penalty": 1.2, "frequency_penalty": 0.3}
    async with running(fake_model("a")) as service:
        _, answer = await service.post(
            "/generate", {"inputs": "x", "parameters": {**parameters, **penalties}}
        )
        assert service.engine.requests[0].sampling == Sampling(True, 0.5, 4, 0.9, 0.8, 1.2, 0.3, 0.0, 7)
    assert answer["details"]["seed"] == 7


async def test_a_seed_that_was_drawn_is_told_too() -> None:
    async with running(fake_model("a")) as service:
        body = {"inputs": "x", "parameters": {"do_sample": True, "details": True}}
        _, answer = await service.post("/generate", body)
        assert answer["details"]["seed"] == service.engine.requests[0].sampling.seed


async def test_best_of_generates_twice_with_other_seeds() -> None:
    async with running(fake_model("a")) as service:
        body = {"inputs": "x", "parameters": {"best_of": 2, "do_sample": True, "details": True}}
        _, answer = await service.post("/generate", body)
        first, second = service.engine.requests
        assert first.sampling.seed != second.sampling.seed
    (other,) = answer["details"]["best_of_sequences"]
    assert {other["seed"], answer["details"]["seed"]} == {first.sampling.seed, second.sampling.seed}
    assert other["generated_text"] == "a"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"inputs": "x", "parameters": {"best_of": 2, "do_sample": True}}),
        ("/v1/completions", {"prompt": ["a", "b"]}),
    ],
)
async def test_answers_of_one_request_are_generated_at_once(path: str, body: dict[str, Any]) -> None:
    async with running(fake_model("a", gated=True)) as service:
        asked = asyncio.create_task(service.post(path, body))
        async with asyncio.timeout(5):
            while len(service.engine.requests) < 2:
                await asyncio.sleep(0.01)
        assert not service.engine.produced
        assert service.engine.gate
        for _ in range(4):
            service.engine.gate.release()
        status, _ = await asked
    assert status == 200


async def test_where_one_answer_fails_the_others_are_given_up() -> None:
    given_up = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async def failing() -> None:
        raise GenerationFailedError("no")

    with pytest.raises(GenerationFailedError):
        await together([endless(), failing()])
    async with asyncio.timeout(5):
        await given_up.wait()


async def test_tokenize_gives_ids_and_the_characters_they_stand_for() -> None:
    async with running(fake_model("")) as service:
        status, tokens = await service.post("/tokenize", {"inputs": "aé"})
    assert status == 200
    assert [(token["text"], token["start"], token["stop"]) for token in tokens] == [
        ("a", 0, 1),
        ("é", 1, 2),
        ("é", 1, 2),
    ]


async def test_the_headers_tell_times_and_counts() -> None:
    async with running(fake_model("ab")) as service:
        async with service.http.post(service.url + "/generate", json={"inputs": "xyz"}) as response:
            headers = response.headers
    assert (headers["x-prompt-tokens"], headers["x-generated-tokens"]) == ("3", "3")
    assert (headers["x-compute-type"], headers["x-compute-characters"]) == ("cpu", "3")
    assert float(headers["x-compute-time"]) > 0
    for name in ("total", "validation", "queue", "inference"):
        assert headers[f"x-{name}-time"].isdigit()


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (
            {"fail_after": 1},
            424,
            {
                "error": "Request failed during generation: the model could not compute this request",
                "error_type": "generation",
            },
        ),
        (
            {"stop_short": True},
            500,
            {"error": "Incomplete generation", "error_type": "incomplete_generation"},
        ),
    ],
)
async def test_a_failed_generation_says_so_on_every_route(
    behaviour: dict[str, Any], status: int, error: object
) -> None:
    async with running(fake_model("abc", **behaviour)) as service:
        assert await service.post("/generate", {"inputs": "x"}) == (status, error)
        events = await service.events("/generate_stream", {"inputs": "x"})
    assert orjson.loads(events[-1]) == error
    assert len(events) > 1
