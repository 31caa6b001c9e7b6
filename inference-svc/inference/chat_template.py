"""A checkpoint's chat template: messages to the prompt that the model was trained on.

The dialect is that of Hugging Face's `apply_chat_template`: Jinja with `raise_exception`, `strftime_now`, a
`tojson` that writes as `json.dumps` does, loop controls, and the `generation` block. It runs in Jinja's
immutable sandbox: a template is part of a checkpoint, which may come from anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import orjson

from inference.continuation import Continuation
from inference.errors import TemplateError
from inference.tool_formats import ToolFormat, tool_format_of

Message = Mapping[str, Any]
_CANT_BE_FILLED = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)
_HERE = "\ue000"  # where the model goes on: of Unicode's private use, so that no template knows it
_TAKES_OBJECTS = re.compile(r"\barguments['\"\]]*\s*\|\s*(tojson|items|dictsort)")
_TELLS_NULL = re.compile(r"\bcontent['\"\]]*\s+is\s+(not\s+)?none", re.IGNORECASE)


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's text for training; for serving it is its content."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _RefusedError(jinja2.TemplateError):
    """The template's own refusal, in words meant for whoever wrote the messages."""


def _raise_exception(message: str) -> NoReturn:
    raise _RefusedError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


def _tojson(value: object, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, indent=indent, **{"ensure_ascii": False, **options})


class ChatTemplate:
    """One compiled template and the special tokens that it may name.

    `tool_format` is the form in which it writes calls of tools; None where it doesn't, or in an unknown one.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self._template = environment.from_string(source)
        self._special_tokens = dict(special_tokens)
        self.tool_format: ToolFormat | None = tool_format_of(source)
        self._takes_objects = _TAKES_OBJECTS.search(source) is not None
        self._tells_null = _TELLS_NULL.search(source) is not None

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        guideline: str | None = None,
    ) -> str:
        """Write the prompt that asks for the next assistant message.

        `guideline` is what TGI hands to templates that judge a chat by it, such as ShieldGemma's.

        A last message of the assistant's own is continued rather than followed by a new one, as in TGI.

        Raises:
            TemplateError: the template refuses these messages.
        """
        given: dict[str, Any] = {"tools": list(tools) or None}
        if guideline is not None:
            given["guideline"] = guideline
        messages = Continuation.without_empty(messages)
        continued = Continuation.of(messages)
        if continued is None:
            return self._filled(messages, given, asking=True)
        if continued.reasoning is not None:
            return continued.after(self._filled(messages[:-1], given, asking=True))
        last = {**messages[-1], "content": continued.content + _HERE}
        return self._filled([*messages[:-1], last], given, asking=False).partition(_HERE)[0]

    def _filled(self, messages: Sequence[Message], given: Mapping[str, Any], *, asking: bool) -> str:
        try:
            return self._template.render(
                messages=[self._as_known(message) for message in messages],
                add_generation_prompt=asking,
                **{**self._special_tokens, **given},
            )
        except _RefusedError as error:
            raise TemplateError(f"the model's chat template refuses these messages: {error}") from error
        except _CANT_BE_FILLED as error:
            raise TemplateError("the model's chat template can't be filled with these messages") from error

    def _as_known(self, message: Message) -> Message:
        """A message with calls as this template reads it.

        OpenAI's `arguments` are text; templates that write JSON themselves want the object. Where a template
        tells no content from an empty one, a message that only calls has none.
        """
        calls = message.get("tool_calls")
        if not calls:
            return message
        content = message.get("content") or (None if self._tells_null else "")
        known = [_with_object(call) for call in calls] if self._takes_objects else calls
        return {**message, "content": content, "tool_calls": known}


def _with_object(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call whose arguments are an object, if their text is one."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call


def _token_text(value: object) -> str | None:
    """A special token in `tokenizer_config.json`: text, or an object with `content`."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens (`bos_token`, `eos_token`, …) of a `tokenizer_config.json`."""
    named = {name: _token_text(value) for name, value in config.items() if name.endswith("_token")}
    return {name: text for name, text in named.items() if text is not None}


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Read `chat_template.jinja`, else the one in `tokenizer_config.json`; None where there is neither.

    Raises:
        OSError: a file can't be read.
        ValueError: a file or the template isn't well formed.
    """
    config_file, template_file = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    config = orjson.loads(config_file.read_bytes()) if config_file.is_file() else {}
    source = (
        template_file.read_text(encoding="utf-8") if template_file.is_file() else config.get("chat_template")
    )
    if isinstance(source, list):  # several named templates
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    if source is None:
        return None
    try:
        return ChatTemplate(source, special_tokens(config))
    except jinja2.TemplateError as error:
        raise ValueError(f"the chat template in {folder} can't be compiled: {error}") from error
