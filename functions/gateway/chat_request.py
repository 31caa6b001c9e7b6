"""The body of `POST /v1/chat/completions`, checked as OpenAI documents it.

Types and ranges of the documented fields are checked here, so that a mistake is named at once and never
costs a cold start; fields that aren't documented pass on unseen, for the model service may know them.
Status, `param` and `code` of a refusal are OpenAI's.

Source: the API reference of OpenAI, "Create chat completion".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.gateway.messages import check_messages
from functions.gateway.rules import (
    Rule,
    array,
    boolean,
    integer,
    invalid,
    missing,
    number,
    one_of,
    record,
    text,
    wrong_type,
)

ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the gateway needs to know of a checked body."""

    model: str
    conversation: str | None


def checked(body: Mapping[str, Any]) -> ChatRequest:
    """The request in `body`.

    Raises:
        BadRequest: a field has a wrong type or value; `param` names it.
    """
    for name in ("model", "messages"):
        if name not in body:
            raise missing(name)
    for name, value in body.items():
        rule = _RULES.get(name)
        if rule is not None and (value is not None or name in _NEVER_NULL):
            rule(name, value)
    _check_together(body)
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation["id"]
    return ChatRequest(body["model"], conversation)


def _check_together(body: Mapping[str, Any]) -> None:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise invalid("stream_options", "it is only allowed when 'stream' is true")
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        raise invalid("top_logprobs", "it is only allowed when 'logprobs' is true")


def _model(param: str, value: Any) -> None:
    text(param, value)
    if not value:
        raise invalid(param, "it has to name a model")


def _stop(param: str, value: Any) -> None:
    if not isinstance(value, str):
        array(text, at_most=4)(param, value)


def _logit_bias(param: str, value: Any) -> None:
    for token, bias in record(param, value).items():
        if not (token.isascii() and token.isdigit()):
            raise invalid(param, "its names have to be token ids")
        number(-100, 100)(f"{param}.{token}", bias)


def _metadata(param: str, value: Any) -> None:
    if len(record(param, value)) > 16:
        raise invalid(param, "at most 16 pairs are kept", "object_above_max_properties")
    for name, entry in value.items():
        if len(name) > 64:
            raise invalid(param, "its names are at most 64 characters long", "string_above_max_length")
        text(f"{param}.{name}", entry)
        if len(entry) > 512:
            reason = "its values are at most 512 characters long"
            raise invalid(f"{param}.{name}", reason, "string_above_max_length")


def _response_format(param: str, value: Any) -> None:
    kind = record(param, value).get("type")
    if kind is None:
        raise missing(f"{param}.type")
    one_of("text", "json_object", "json_schema")(f"{param}.type", kind)
    if kind == "json_schema":
        schema = value.get("json_schema")
        if schema is None:
            raise missing(f"{param}.json_schema")
        if "name" not in record(f"{param}.json_schema", schema):
            raise missing(f"{param}.json_schema.name")
        text(f"{param}.json_schema.name", schema["name"])
        if schema.get("schema") is not None:
            record(f"{param}.json_schema.schema", schema["schema"])


def _stream_options(param: str, value: Any) -> None:
    if record(param, value).get("include_usage") is not None:
        boolean(f"{param}.include_usage", value["include_usage"])


def _tool(param: str, value: Any) -> None:
    kind = record(param, value).get("type")
    if kind is None:
        raise missing(f"{param}.type")
    one_of("function", "custom")(f"{param}.type", kind)
    if kind not in value:
        raise missing(f"{param}.{kind}")
    described = record(f"{param}.{kind}", value[kind])
    if "name" not in described:
        raise missing(f"{param}.{kind}.name")
    text(f"{param}.{kind}.name", described["name"])
    if not _TOOL_NAME.fullmatch(described["name"]):
        raise invalid(f"{param}.{kind}.name", "it has to be 1 to 64 letters, digits, underscores or dashes")
    if described.get("parameters") is not None:
        record(f"{param}.{kind}.parameters", described["parameters"])


def _tool_choice(param: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(param, value)
    elif not isinstance(value, dict):
        raise wrong_type(param, "a string or an object", value)


def _conversation(param: str, value: Any) -> None:
    if isinstance(value, dict):
        if "id" not in value:
            raise missing(f"{param}.id")
        param, value = f"{param}.id", value["id"]
    elif not isinstance(value, str):
        raise wrong_type(param, "a string or an object", value)
    text(param, value)
    if not ID.fullmatch(value):
        raise invalid(param, "it has to be a conversation's id, such as conv_0198…")


_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NEVER_NULL = frozenset({"model", "messages"})
_RULES: Mapping[str, Rule] = {
    "model": _model,
    "messages": check_messages,
    "conversation": _conversation,
    "stream": boolean,
    "stream_options": _stream_options,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "n": integer(1, 128),
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "logit_bias": _logit_bias,
    "stop": _stop,
    "seed": integer(-(2**63), 2**63 - 1),
    "response_format": _response_format,
    "tools": array(_tool, at_most=128),
    "tool_choice": _tool_choice,
    "parallel_tool_calls": boolean,
    "metadata": _metadata,
    "store": boolean,
    "user": text,
    "reasoning_effort": text,
    "service_tier": text,
}
