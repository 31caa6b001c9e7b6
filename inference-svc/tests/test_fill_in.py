from __future__ import annotations

from typing import Any

import pytest

from tests.service import fake_model, running

QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
DEEPSEEK = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")
STARCODER = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
ASKED: dict[str, Any] = {"prompt": ["a(", ""], "suffix": ")b"}


@pytest.mark.parametrize("marks", [QWEN, DEEPSEEK, STARCODER])
async def test_the_middle_is_asked_for_by_the_models_own_tokens(marks: tuple[str, ...]) -> None:
    async with running(fake_model("x", marks=marks)) as service:
        _, answer = await service.post("/v1/completions", ASKED)
        tokenizer = service.model.tokenizer
        asked = [tokenizer.decode(list(request.prompt_ids)) for request in service.engine.requests]
        ids = service.engine.requests[0].prompt_ids
    begin, hole, end = marks
    assert asked == [f"{begin}a({hole})b{end}", f"{begin}{hole})b{end}"]
    assert len(ids) == 3 + len("a()b"), "each mark is one token"
    assert [choice["text"] for choice in answer["choices"]] == ["x", "x"]


@pytest.mark.parametrize("marks", [(), QWEN[:2]])
async def test_a_model_without_such_tokens_says_so(marks: tuple[str, ...]) -> None:
    async with running(fake_model("x", marks=marks)) as service:
        status, answer = await service.post("/v1/completions", ASKED)
    assert (status, answer["error_type"]) == (422, "suffix not supported")
    assert "has no tokens to fill in the middle" in answer["error"]


async def test_an_empty_suffix_is_none() -> None:
    async with running(fake_model("x")) as service:
        status, _ = await service.post("/v1/completions", {"prompt": "a", "suffix": ""})
    assert status == 200
