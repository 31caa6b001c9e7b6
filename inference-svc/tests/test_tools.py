"""Tools on `/v1/chat/completions`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.engine.grammar import GrammarCompiler
from inference.engine.load import load_engine
from inference.engine.options import EngineOptions
from inference.engine.port import FinishReason, GenerationRequest, Sampling
from inference.json_fields import JsonFields
from inference.limits import Limits
from inference.loaded_model import LoadedModel
from inference.tool_calls import ToolCallReader
from inference.tool_formats import DEEPSEEK_V3, DEEPSEEK_V31, HERMES, LLAMA, ToolFormat
from inference.tool_requests import ToolRequest
from tests.byte_tokenizer import END, make_byte_tokenizer
from tests.engine.test_engines import tokens_of
from tests.service import fake_model, running
from tests.test_routes_openai import chunks_of

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}"
    "{% for call in message.tool_calls or [] %}"
    '<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{% endfor %}{% endfor %}[assistant]"
)
SOUND: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "sound",
        "parameters": {
            "type": "object",
            "properties": {"metres": {"type": "integer", "minimum": 0, "maximum": 99}},
            "required": ["metres"],
            "additionalProperties": False,
        },
    },
}
SURFACE = {"type": "function", "function": {"name": "surface"}}
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "go"}], "tools": [SOUND, SURFACE]}
CALL = '<tool_call>\n{"name": "sound", "arguments": {"metres": 7}}\n</tool_call>'
PATH = "/v1/chat/completions"
WIDE = Limits(1000, 2000, 2, 2, 4, 5, 4)


def calling_model(answer: str, template: str = TEMPLATE, **more: Any) -> LoadedModel:
    return fake_model(answer, template=template, limits=WIDE, **more)


async def test_a_call_comes_as_a_call_and_its_text_is_no_content() -> None:
    async with running(calling_model(f"Let me see.\n{CALL}\n{CALL}")) as service:
        _, answer = await service.post(PATH, ASKED)
        _, bare = await service.post(PATH, {**ASKED, "tools": [SOUND], "parallel_tool_calls": False})
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    first, second = choice["message"]["tool_calls"]
    assert first["id"] != second["id"]
    assert first == {
        "id": first["id"],
        "type": "function",
        "function": {"name": "sound", "arguments": '{"metres": 7}'},
    }
    assert len(bare["choices"][0]["message"]["tool_calls"]) == 1
    assert bare["usage"]["completion_tokens"] < answer["usage"]["completion_tokens"]


async def test_a_stream_has_the_calls_head_and_then_its_arguments() -> None:
    async with running(calling_model(CALL)) as service:
        chunks = chunks_of(await service.events(PATH, {**ASKED, "stream": True}))
    choices = [chunk["choices"][0] for chunk in chunks]
    head = choices[0]["delta"]
    (call,) = head["tool_calls"]
    assert head["role"] == "assistant"
    assert (call["index"], call["type"], call["function"]["name"]) == (0, "function", "sound")
    assert call["id"].startswith("call_")
    later = [choice["delta"]["tool_calls"][0] for choice in choices[1:-1]]
    assert all(call.keys() == {"index", "function"} for call in later)
    arguments = [call["function"]["arguments"], *(piece["function"]["arguments"] for piece in later)]
    assert "".join(arguments) == '{"metres": 7}'
    assert len(arguments) > 5
    assert choices[-1] == {
        "index": 0,
        "delta": {"content": ""},
        "logprobs": None,
        "finish_reason": "tool_calls",
    }


async def test_a_call_without_content_has_none_and_one_that_is_cut_off_says_so() -> None:
    async with running(calling_model(CALL)) as service:
        _, whole = await service.post(PATH, ASKED)
        _, cut = await service.post(PATH, {**ASKED, "max_tokens": 55})
    assert whole["choices"][0]["message"]["content"] is None
    assert cut["choices"][0]["finish_reason"] == "length"
    (call,) = cut["choices"][0]["message"]["tool_calls"]
    assert '{"metres": 7}'.startswith(call["function"]["arguments"])


async def test_a_malformed_call_is_content_and_the_answer_stopped() -> None:
    text = '<tool_call>\n{"name": "sink"}\n</tool_call>'
    async with running(calling_model(text)) as service:
        _, answer = await service.post(PATH, ASKED)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": text}
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_special_tokens_of_a_call_are_read_and_never_shown() -> None:
    template = "{{ tools }}<｜tool▁call▁begin｜>```json" + TEMPLATE
    text = f"So.{DEEPSEEK_V3.frames[0]}{DEEPSEEK_V3.before.replace('NAME', 'sound')}{{}}{DEEPSEEK_V3.after}"
    model = calling_model(
        text + DEEPSEEK_V3.frames[1], template, marks=(*DEEPSEEK_V3.marks, "<｜x｜>"), special=True
    )
    async with running(model) as service:
        _, answer = await service.post(PATH, ASKED)
    message = answer["choices"][0]["message"]
    assert message["content"] == "So."
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}"]


async def test_a_call_that_is_thought_of_is_no_call() -> None:
    model = calling_model(f"<think>{CALL}</think>{CALL}", marks=("<think>", "</think>"))
    async with running(model) as service:
        _, answer = await service.post(PATH, ASKED)
        _, cut = await service.post(PATH, {**ASKED, "max_tokens": 20})
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == CALL
    assert len(message["tool_calls"]) == 1
    assert cut["choices"][0]["message"] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": CALL[:19],
    }


async def test_tools_calls_and_results_reach_the_template() -> None:
    messages = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "sound", "arguments": '{"metres":7}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "mud"},
    ]
    async with running(calling_model("a")) as service:
        _, asked = await service.post("/chat_tokenize", {"messages": messages, "tools": [SURFACE]})
        _, none = await service.post("/chat_tokenize", {**ASKED, "tool_choice": "none"})
    assert asked["templated_text"] == (
        '{"type": "function", "function": {"name": "surface"}}\n[user]go[assistant]'
        '<tool_call>{"name": "sound", "arguments": {"metres": 7}}</tool_call>[tool]mud[assistant]'
    )
    assert none["templated_text"] == "[user]go[assistant]"


@pytest.mark.slow
@pytest.mark.parametrize("form", [HERMES, LLAMA, DEEPSEEK_V3, DEEPSEEK_V31])
@pytest.mark.parametrize("special", [False, True])
async def test_a_forced_call_is_one_even_of_random_weights(
    checkpoint: Callable[[str], Path], form: ToolFormat, special: bool
) -> None:
    tokenizer = make_byte_tokenizer(*form.marks, special=special)
    end_id = tokenizer.token_id(END) or 0
    named = {**ASKED, "tool_choice": {"type": "function", "function": {"name": "sound"}}}
    asked = ToolRequest.of(JsonFields.of(named))
    assert asked is not None
    source = asked.grammar(form, tokenizer.token_id)
    grammar = GrammarCompiler(tokenizer.to_json(), [end_id]).compile(source)
    options = EngineOptions("float32", eos_token_ids=frozenset({end_id}))
    engine = await asyncio.to_thread(load_engine, checkpoint("llama"), options)
    draws = [Sampling(do_sample=True, seed=seed) for seed in range(4)]
    requests = [GenerationRequest((5, 6), 150, sampling, grammar=grammar) for sampling in draws]
    try:
        answers = await asyncio.gather(*(tokens_of(engine, request) for request in requests))
    finally:
        engine.close()
    for answer in answers:
        assert answer[-1].finish_reason is FinishReason.EOS_TOKEN
        text = "".join(tokenizer.token_text(token.id) for token in answer[:-1])
        reader = ToolCallReader(form, asked.parameters.keys(), parallel=True)
        reading = reader.push(text, last=True)
        assert reading.content == ""
        assert {piece.name for piece in reading.calls} == {"sound", None}
        arguments = orjson.loads("".join(piece.arguments for piece in reading.calls))
        assert 0 <= arguments["metres"] <= 99
