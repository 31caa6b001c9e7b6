from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions._runtime.errors import BadRequest
from functions.gateway.chat_request import checked

USER = {"role": "user", "content": "Hello"}
MINIMAL = {"model": "tiny", "messages": [USER]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0, "top_p": 1, "n": 1, "max_tokens": 1, "seed": -5, "user": "u"},
        {"temperature": 2.0, "presence_penalty": -2, "frequency_penalty": 2.0},
        {"temperature": None, "stop": None, "stream": None, "tools": None, "conversation": None},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stop": "x"},
        {"stop": ["a", "b", "c", "d"]},
        {"logprobs": True, "top_logprobs": 20, "logit_bias": {"50256": -100}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"metadata": {"k": "v"}, "store": True, "reasoning_effort": "low", "service_tier": "auto"},
        {"thinking": {"type": "enabled"}, "repetition_penalty": 1.1, "guided_json": [1, None]},
        {"conversation": "conv_1"},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "x"},
                USER,
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}], "name": "bob"}]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}]},
        {"messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "", "prefix": True}]},
        {"messages": [USER, {"role": "assistant", "reasoning_content": "hm, ", "prefix": True}]},
        {"messages": [{"role": "tool", "content": "22", "tool_call_id": "call_1"}]},
    ],
)
def test_what_openai_documents_passes_and_so_do_fields_it_does_not_know(fields: dict[str, Any]) -> None:
    assert checked({**MINIMAL, **fields}).model == "tiny"


def test_a_conversation_is_named_by_its_id_or_by_an_object_with_it() -> None:
    assert checked(MINIMAL).conversation is None
    assert checked({**MINIMAL, "conversation": "conv_1"}).conversation == "conv_1"
    assert checked({**MINIMAL, "conversation": {"id": "conv_1"}}).conversation == "conv_1"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": 5}, "model", "invalid_type"),
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": {"$gt": ""}}, "model", "invalid_type"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": {}}, "messages", "invalid_type"),
        ({"messages": ["Hello"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [USER, {"role": "robot", "content": "x"}]}, "messages[1].role", "invalid_value"),
        ({"messages": [{"role": {"$gt": ""}, "content": "x"}]}, "messages[0].role", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        ({"messages": [{**USER, "name": 1}]}, "messages[0].name", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": 1.01}, "top_p", "decimal_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 1.0}, "n", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": True}, "max_completion_tokens", "invalid_type"),
        ({"seed": 2**64}, "seed", "integer_above_max_value"),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        (
            {"stream": True, "stream_options": {"include_usage": 1}},
            "stream_options.include_usage",
            "invalid_type",
        ),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"stop": [1]}, "stop[0]", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"top_logprobs": 1}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "decimal_above_max_value"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 1}, "tool_choice", "invalid_type"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "string_above_max_length"),
        ({"conversation": 5}, "conversation", "invalid_type"),
        ({"conversation": {}}, "conversation.id", "missing_required_parameter"),
        ({"conversation": {"id": {"$gt": ""}}}, "conversation.id", "invalid_type"),
        ({"conversation": "../other"}, "conversation", "invalid_value"),
        ({"conversation": "http://evil"}, "conversation", "invalid_value"),
    ],
)
def test_a_mistake_is_named_in_openai_s_terms(fields: dict[str, Any], param: str, code: str) -> None:
    """Promises 23 and 24: neither operators nor addresses pass as ids."""
    with pytest.raises(BadRequest) as refused:
        checked({**MINIMAL, **fields})
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        checked({key: value for key, value in MINIMAL.items() if key != name})
    assert (refused.value.param, refused.value.code) == (name, "missing_required_parameter")


_SCALARS = st.sampled_from([None, True, False, 0, -1, 2**63, 0.5, 1e308, "", "user", "$where"])
_JSON = (
    _SCALARS
    | st.lists(_SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(["type", "id", "$gt"]), _SCALARS)
)
_KNOWN = ["model", "messages", "conversation", "stream", "stream_options", "temperature", "n", "max_tokens"]
_KNOWN += [
    "top_logprobs",
    "logit_bias",
    "stop",
    "seed",
    "response_format",
    "tools",
    "tool_choice",
    "metadata",
]
_KNOWN += ["user", "role", "content", "tool_calls", "name", "tool_call_id"]
_FIELDS = st.sampled_from(_KNOWN)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(st.dictionaries(_FIELDS, _JSON, max_size=6), st.lists(st.dictionaries(_FIELDS, _JSON, max_size=4)))
def test_whatever_json_comes_it_is_taken_or_refused_as_a_bad_request(
    fields: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    """Promise 32: never a failure of ours."""
    try:
        request = checked({"model": "tiny", "messages": messages, **fields})
    except BadRequest as refused:
        assert refused.message
    else:
        assert request.model
