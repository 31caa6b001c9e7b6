"""`prefix: true`, and other last messages of the assistant's own."""

from __future__ import annotations

from typing import Any

import pytest

from inference.engine.grammar import GrammarAfter
from tests.service import TEMPLATE, fake_model, running
from tests.test_reasoning import MARKS, OPENING_TEMPLATE

USER = {"role": "user", "content": "go"}
SAYING = {"role": "assistant", "content": "Let me ", "prefix": True}
THINKING = {"role": "assistant", "content": "", "reasoning_content": "hm, ", "prefix": True}
CLOSED_TEMPLATE = TEMPLATE + "{{ '</think>' if add_generation_prompt else '' }}"
PATH = "/v1/chat/completions"


@pytest.mark.parametrize("template", [TEMPLATE, OPENING_TEMPLATE, CLOSED_TEMPLATE])
@pytest.mark.parametrize(
    ("last", "rendered"),
    [
        (THINKING, "[user]go\n[assistant]<think>\nhm, "),
        ({"role": "assistant", "content": "<think>\nhm, "}, "[user]go\n[assistant]<think>\nhm, "),
        ({**THINKING, "content": "So "}, "[user]go\n[assistant]<think>\nhm, \n</think>\n\nSo "),
    ],
)
async def test_reasoning_is_continued_in_whatever_form_it_is_given(
    template: str, last: dict[str, Any], rendered: str
) -> None:
    async with running(fake_model("a", template=template, marks=MARKS)) as service:
        _, answer = await service.post("/chat_tokenize", {"messages": [USER, last]})
    assert answer["templated_text"] == rendered


@pytest.mark.parametrize(
    ("last", "answer", "reasoning", "content"),
    [
        (SAYING, "see.", None, "see."),
        (THINKING, " well</think>\nyes", " well", "yes"),
        ({"role": "assistant", "content": "<think>hm,"}, " well", " well", ""),
        ({**THINKING, "content": "So "}, "yes", None, "yes"),
    ],
)
async def test_what_goes_on_inside_the_reasoning_is_reasoning(
    last: dict[str, Any], answer: str, reasoning: str | None, content: str
) -> None:
    async with running(fake_model(answer, marks=MARKS)) as service:
        _, body = await service.post(PATH, {"messages": [USER, last]})
    message = body["choices"][0]["message"]
    assert (message.get("reasoning_content"), message["content"]) == (reasoning, content)


async def test_a_grammar_waits_for_the_end_of_a_reasoning_that_is_continued() -> None:
    body = {"messages": [USER, THINKING], "response_format": {"type": "json_object"}}
    async with running(fake_model("{}", marks=MARKS)) as service:
        await service.post(PATH, body)
        assert isinstance(service.engine.requests[0].grammar, GrammarAfter)


@pytest.mark.parametrize("messages", [[SAYING, USER], [{**USER, "prefix": True}]])
async def test_only_the_assistants_last_message_is_a_prefix(messages: list[dict[str, Any]]) -> None:
    async with running(fake_model("a")) as service:
        status, answer = await service.post(PATH, {"messages": messages})
    assert status == 422
    assert "`messages[0].prefix` is for the last message" in answer["error"]


async def test_a_prefix_that_says_nothing_asks_for_an_answer() -> None:
    async with running(fake_model("a")) as service:
        empty = {"role": "assistant", "content": "", "prefix": True}
        _, answer = await service.post("/chat_tokenize", {"messages": [USER, empty]})
    assert answer["templated_text"] == "[user]go\n[assistant]"
