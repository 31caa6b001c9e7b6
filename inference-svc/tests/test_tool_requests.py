"""What a request says of tools: what is refused, what must be called, and how TGI names it."""

from __future__ import annotations

from typing import Any

import pytest

from inference.json_fields import JsonFields
from inference.tool_formats import HERMES, LLAMA
from inference.tool_requests import ToolRequest
from tests.service import running
from tests.test_tools import ASKED, CALL, PATH, SOUND, calling_model


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "`tools[0].type` must be function"),
        ({"tools": [{"type": "function"}]}, "missing field `tools[0].function`"),
        ({"tools": [{"function": {"name": "a b"}}]}, "`tools[0].function.name` must be 1 to 64 letters"),
        ({"tools": [SOUND, SOUND]}, "two functions named 'sound'"),
        (
            {"tools": [{"function": {"name": "f", "parameters": {"type": "array"}}}]},
            "`tools[0].function.parameters` must be a JSON schema of type object",
        ),
        ({"tool_choice": "sometimes"}, "`tool_choice` must be one of none, auto, required, or name a"),
        ({"tool_choice": {"type": "function", "function": {"name": "dive"}}}, "of `tools`. Given: 'dive'"),
        ({"tool_choice": {"type": "allowed_tools"}}, "`tool_choice.type` must be function"),
        ({"tool_choice": "required", "tools": []}, "needs `tools`"),
        ({"response_format": {"type": "json_object"}}, "Grammar and tools are mutually exclusive"),
        (
            {
                "tools": [{"function": {"name": "f", "parameters": {"not": {"type": "string"}}}}],
                "tool_choice": "required",
            },
            'Unimplemented keys: ["not"]',
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "missing field `messages[0].tool_calls[0].function`",
        ),
    ],
)
async def test_tools_that_cannot_be_served_are_refused_with_a_reason(
    difference: dict[str, Any], words: str
) -> None:
    async with running(calling_model("a")) as service:
        status, answer = await service.post(PATH, {**ASKED, **difference})
    assert status == 422
    assert answer["error_type"] in {"tool_error", "validation"}
    assert words in answer["error"]


async def test_required_may_call_several_of_all_functions_and_a_name_only_that_one() -> None:
    required = ToolRequest.of(JsonFields.of({**ASKED, "tool_choice": "required"}))
    named = ToolRequest.of(JsonFields.of({**ASKED, "tool_choice": {"function": {"name": "surface"}}}))
    assert required is not None
    assert named is not None
    assert (required.forced, required.parallel) == (("sound", "surface"), True)
    assert (named.forced, named.parallel) == (("surface",), False)
    assert "call)*" in required.grammar(HERMES, lambda _: None).text
    assert "call)*" not in required.grammar(LLAMA, lambda _: None).text


async def test_a_function_may_be_chosen_by_its_bare_name_as_in_tgi() -> None:
    async with running(calling_model(CALL)) as service:
        _, answer = await service.post(PATH, {**ASKED, "tool_choice": "sound"})
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    chosen = ToolRequest.of(JsonFields({**ASKED, "tool_choice": "sound"}))
    assert chosen is not None
    assert (chosen.forced, chosen.parallel) == (("sound",), False)


async def test_a_schema_under_tgis_name_for_it_is_the_same_to_grammar_and_template() -> None:
    schema = SOUND["function"]["parameters"]
    named = {"type": "function", "function": {"name": "sound", "arguments": schema}}
    asked = ToolRequest.of(JsonFields({"tools": [named], "tool_choice": "required"}))
    usual = ToolRequest.of(JsonFields({"tools": [SOUND], "tool_choice": "required"}))
    assert asked == usual
    async with running(calling_model("a")) as service:
        messages = ASKED["messages"]
        prompts = [
            (await service.post("/chat_tokenize", {"messages": messages, "tools": [tool]}))[1][
                "templated_text"
            ]
            for tool in (named, SOUND)
        ]
    assert prompts[0] == prompts[1]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (
            {
                "tools": [{"function": {"name": "f", "parameters": nested(140)}}],
                "tool_choice": "required",
            },
            "`tools[0].function.parameters` is nested too deeply",
        ),
        (
            {"tools": [], "response_format": {"type": "json_schema", "json_schema": {"schema": nested(140)}}},
            "`response_format.json_schema.schema` is nested too deeply",
        ),
    ],
)
async def test_what_is_nested_too_deeply_is_refused_by_its_name(
    difference: dict[str, Any], words: str
) -> None:
    async with running(calling_model("a")) as service:
        status, answer = await service.post(PATH, {**ASKED, **difference})
    assert (status, words in answer["error"]) == (422, True), answer


async def test_deep_arguments_in_a_history_stay_the_text_that_they_are() -> None:
    deep = '{"a":' * 2_000 + "1" + "}" * 2_000
    call = {"id": "c", "type": "function", "function": {"name": "sound", "arguments": deep}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "go"}]
    async with running(calling_model("a"), payload_limit_bytes=100_000) as service:
        _, answer = await service.post("/chat_tokenize", {"messages": messages})
    assert '{\\"a\\":' in answer["templated_text"]
