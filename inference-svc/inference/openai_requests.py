"""The OpenAI routes' requests, read from JSON into TGI's parameters.

Differences from TGI, each towards OpenAI's own meaning: `presence_penalty` is OpenAI's (TGI turns it into a
repetition penalty), `top_p: 1` is no restriction, and `n` is the number of answers (TGI ignores it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from inference.chat_messages import read_messages
from inference.engine.grammar import GrammarKind, GrammarSource
from inference.errors import ToolError, ValidationError
from inference.json_fields import U64_MAX, JsonFields
from inference.parameters import GenerateParameters, read_grammar, schema_grammar
from inference.tool_requests import ToolRequest

_COMPLETION_TOKENS = 100  # of a completion that sets no limit, as in TGI; a chat may fill the window
_ANY_OBJECT = GrammarSource(GrammarKind.JSON_SCHEMA, '{"type":"object"}')


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`POST /v1/chat/completions`."""

    messages: tuple[dict[str, Any], ...]
    parameters: GenerateParameters
    tools: ToolRequest | None
    guideline: str | None
    n: int
    logprobs: bool
    stream: bool
    include_usage: bool

    @classmethod
    def of(cls, fields: JsonFields) -> ChatRequest:
        """Read a request.

        Raises:
            ValidationError: a field of the wrong type, or one that isn't served.
            ToolError: tools that can't be called.
        """
        messages = read_messages(fields)
        logprobs = fields.flag("logprobs")
        top_logprobs = fields.integer("top_logprobs")
        if top_logprobs and not logprobs:
            raise ValidationError("`top_logprobs` needs `logprobs` to be true")
        stream, include_usage = _streaming(fields)
        parameters = replace(_sampling_parameters(fields), top_n_tokens=top_logprobs)
        tools = ToolRequest.of(fields)
        if tools and parameters.grammar:
            raise ToolError("Grammar and tools are mutually exclusive: `response_format` and `tools`")
        return cls(
            messages,
            parameters,
            tools,
            fields.text("guideline"),
            _n(fields),
            logprobs,
            stream,
            include_usage,
        )


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """`POST /v1/completions`."""

    prompts: tuple[str, ...]
    suffix: str
    parameters: GenerateParameters
    n: int
    stream: bool
    include_usage: bool

    @classmethod
    def of(cls, fields: JsonFields) -> CompletionRequest:
        """Read a request.

        Raises:
            ValidationError: a field of the wrong type, or one that isn't served.
        """
        fields.require("prompt")
        prompts = fields.texts("prompt")
        if not prompts:
            raise ValidationError("`prompt` must hold at least one text")
        stream, include_usage = _streaming(fields)
        return cls(
            prompts,
            fields.text("suffix") or "",
            replace(_sampling_parameters(fields), unasked_new_tokens=_COMPLETION_TOKENS),
            _n(fields),
            stream,
            include_usage,
        )


def _n(fields: JsonFields) -> int:
    return fields.integer("n", lowest=1) or 1


def _sampling_parameters(fields: JsonFields) -> GenerateParameters:
    """As in TGI: greedy only where the temperature is 0."""
    temperature = fields.number("temperature")
    top_p = fields.number("top_p")
    is_neutral = top_p is not None and 0 < top_p <= 1 and (top_p == 1 or temperature == 0)
    limit = "max_completion_tokens" if fields.has("max_completion_tokens") else "max_tokens"
    return GenerateParameters(
        model=fields.text("model"),
        temperature=temperature or None,
        top_p=None if is_neutral else top_p,
        do_sample=temperature != 0,
        repetition_penalty=fields.number("repetition_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        max_new_tokens=fields.integer(limit),
        stop=fields.texts("stop"),
        seed=fields.integer("seed", 0, U64_MAX),
        grammar=_response_format(fields.object("response_format")),
    )


def _response_format(fields: JsonFields) -> GrammarSource | None:
    """OpenAI's `text`, `json_object` and `json_schema`; beside them TGI's own, which have a `value`."""
    if fields.has("value"):
        return read_grammar(fields)
    match fields.text("type"):
        case None | "text":
            return None
        case "json_object":
            return _ANY_OBJECT
        case "json_schema":
            fields.require("json_schema")
            described = fields.object("json_schema")
            return schema_grammar(described, "schema") if described.has("schema") else _ANY_OBJECT
        case kind:
            raise ValidationError(
                f"`{fields.name('type')}` must be one of text, json_object, json_schema. Given: {kind!r}"
            )


def _streaming(fields: JsonFields) -> tuple[bool, bool]:
    return fields.flag("stream"), fields.object("stream_options").flag("include_usage")
