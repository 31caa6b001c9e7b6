"""`reasoning_content`, by the ids of `<think>` and `</think>`."""

from __future__ import annotations

from typing import Any

import pytest

from inference.engine.grammar import CompiledGrammar, GrammarAfter
from inference.loaded_model import LoadedModel
from tests.service import TEMPLATE, fake_model, running
from tests.test_routes_openai import chunks_of

MARKS = ("<think>", "</think>")
OPENING_TEMPLATE = TEMPLATE + "{{ '<think>\n' }}"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def thinking_model(answer: str, template: str = TEMPLATE) -> LoadedModel:
    return fake_model(answer, marks=MARKS, template=template)


CASES = [
    ("<think>\nhm é</think>\n\nyes", TEMPLATE, "hm é", "yes", 7),
    ("hm</think>yes", OPENING_TEMPLATE, "hm", "yes", 3),
    ("\nstill thinking", OPENING_TEMPLATE, "still thinking", "", 16),
    ("yes, no marks", TEMPLATE, None, "yes, no marks", 0),
    ("a stray </think> mark", TEMPLATE, None, "a stray </think> mark", 0),
]


@pytest.mark.parametrize(("answer", "template", "reasoning", "content", "tokens"), CASES)
async def test_reasoning_is_told_from_the_answer(
    answer: str, template: str, reasoning: str | None, content: str, tokens: int
) -> None:
    async with running(thinking_model(answer, template)) as service:
        _, whole = await service.post("/v1/chat/completions", HELLO)
        body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        chunks = chunks_of(await service.events("/v1/chat/completions", body))
    message = whole["choices"][0]["message"]
    assert (message.get("reasoning_content"), message["content"]) == (reasoning, content)
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": tokens}
    assert chunks[-1]["usage"] == whole["usage"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == (reasoning or "")
    assert "".join(delta.get("content", "") for delta in deltas) == content
    assert not any({"content", "reasoning_content"} <= delta.keys() for delta in deltas)


async def test_a_character_cut_off_by_the_mark_stays_in_the_reasoning() -> None:
    model = thinking_model("<think>é</think>b")
    script = model.engine.script  # type: ignore[attr-defined]
    del script[2]  # the second byte of the é
    async with running(model) as service:
        _, answer = await service.post("/v1/chat/completions", HELLO)
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("\N{REPLACEMENT CHARACTER}", "b")


async def test_what_a_stop_sequence_held_back_stays_on_its_side_of_the_mark() -> None:
    async with running(thinking_model("<think>ab</think>bc")) as service:
        _, answer = await service.post("/v1/chat/completions", {**HELLO, "stop": ["bb"]})
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("ab", "bc")


@pytest.mark.parametrize("template", [TEMPLATE, "{{ messages[0]['content'] }}<|end|>\n"])
async def test_a_users_own_mark_opens_nothing(template: str) -> None:
    """Also where only a special token stands between it and the answer, as in DeepSeek's templates."""
    body = {"messages": [{"role": "user", "content": "what is <think>"}]}
    async with running(thinking_model("a mark", template)) as service:
        _, answer = await service.post("/v1/chat/completions", body)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "a mark"}


async def test_log_probabilities_are_the_answers() -> None:
    async with running(thinking_model("<think>hm</think>ok")) as service:
        _, answer = await service.post("/v1/chat/completions", {**HELLO, "logprobs": True})
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "ok"


async def test_tgis_own_routes_show_the_text_as_it_is() -> None:
    async with running(thinking_model("<think>hm</think>ok")) as service:
        _, answer = await service.post("/generate", {"inputs": "x"})
    assert answer == {"generated_text": "<think>hm</think>ok"}


@pytest.mark.parametrize(
    ("template", "kind"), [(TEMPLATE, CompiledGrammar), (OPENING_TEMPLATE, GrammarAfter)]
)
async def test_a_grammar_is_for_the_answer(template: str, kind: type) -> None:
    body = {**HELLO, "response_format": {"type": "json_object"}}
    async with running(thinking_model("{}", template)) as service:
        await service.post("/v1/chat/completions", body)
        assert isinstance(service.engine.requests[0].grammar, kind)
