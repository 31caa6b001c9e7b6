from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.service import fake_model, running
from tests.test_routes_openai import HELLO, chunks_of, usage

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@pytest.mark.parametrize(
    ("path", "asked"), [(CHAT, HELLO), (COMPLETIONS, {"prompt": "[user]hi\n[assistant]"})]
)
async def test_n_answers_of_one_prompt_that_counts_once(path: str, asked: dict[str, Any]) -> None:
    async with running(fake_model("Hé", cached_tokens=4)) as service:
        _, answer = await service.post(path, {**asked, "n": 2, "seed": 7})
        seeds = [request.sampling.seed for request in service.engine.requests]
        body = {**asked, "n": 2, "stream": True, "stream_options": {"include_usage": True}}
        chunks = chunks_of(await service.events(path, body))
    assert sorted(seeds) == [7, 8]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "stop"]
    assert answer["usage"] == usage(20, 8, cached_tokens=4)
    assert chunks[-1]["usage"] == answer["usage"]
    for index in (0, 1):
        choices = [chunk["choices"][0] for chunk in chunks[:-1] if chunk["choices"][0]["index"] == index]
        deltas = [choice.get("delta", {"content": choice.get("text")}) for choice in choices]
        assert "".join(delta["content"] for delta in deltas) == "Hé"
        assert ["role" in delta for delta in deltas] == [path == CHAT, False, False]
        assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]


@pytest.mark.parametrize(
    ("path", "asked"), [(CHAT, {**HELLO, "n": 2}), (COMPLETIONS, {"prompt": ["a", "b"]})]
)
async def test_streamed_answers_are_generated_side_by_side(path: str, asked: dict[str, Any]) -> None:
    model = fake_model("ab", gated=True)
    async with running(model) as service:
        gate = service.engine.gate
        assert gate is not None
        async with service.http.post(service.url + path, json={**asked, "stream": True}) as response:
            gate.release()
            gate.release()
            first = [orjson.loads((await response.content.readuntil(b"\n\n"))[6:]) for _ in range(2)]
            assert sorted(chunk["choices"][0]["index"] for chunk in first) == [0, 1]
            for _ in range(4):
                gate.release()
            assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_one_that_fails_ends_the_stream_and_gives_the_others_up() -> None:
    async with running(fake_model("abc", fail_after=1)) as service:
        events = await service.events(CHAT, {**HELLO, "n": 2, "stream": True})
        assert service.engine.closed.is_set()
    assert b"[DONE]" not in events
    assert orjson.loads(events[-1])["error"]["http_status_code"] == 424


async def test_a_client_that_leaves_gives_all_of_its_answers_up() -> None:
    async with running(fake_model("abc", gated=True)) as service:
        response = await service.http.post(service.url + CHAT, json={**HELLO, "n": 2, "stream": True})
        await service.engine.started.wait()
        response.close()
        async with asyncio.timeout(5):
            await service.serving.idle()
        assert service.engine.closed.is_set()


async def test_every_answer_takes_a_place() -> None:
    async with running(fake_model("abc", gated=True)) as service:
        first = asyncio.create_task(service.post(CHAT, HELLO))
        await service.engine.started.wait()
        status, answer = await service.post(CHAT, {**HELLO, "n": 2})
        assert (status, answer["error_type"]) == (429, "overloaded")
        first.cancel()
