"""A checkpoint's chat template: messages to the prompt that the model was trained on.

The dialect is that of Hugging Face's `apply_chat_template`: Jinja with `raise_exception`, `strftime_now`, a
`tojson` that doesn't escape HTML, loop controls, and the `generation` block. It runs in Jinja's immutable
sandbox: a template is part of a checkpoint, which may come from anywhere.
"""

from __future__ import annotations

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

from inference.errors import TemplateError

Message = Mapping[str, Any]


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


def _tojson(value: object, indent: int | None = None, **_: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()


class ChatTemplate:
    """One compiled template and the special tokens that it may name."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self._template = environment.from_string(source)
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message]) -> str:
        """Write the prompt that asks for the next assistant message.

        A last message of the assistant's own is continued rather than followed by a new one, as in TGI.

        Raises:
            TemplateError: the template refuses these messages.
        """
        continued = messages[-1].get("content") if messages and messages[-1]["role"] == "assistant" else ""
        try:
            text = self._template.render(
                messages=messages, add_generation_prompt=not continued, **self._special_tokens
            )
        except _RefusedError as error:
            raise TemplateError(f"the model's chat template refuses these messages: {error}") from error
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise TemplateError("the model's chat template can't be filled with these messages") from error
        return _until(text, continued) if continued else text


def _until(text: str, last_content: str) -> str:
    """Cut what the template puts after the last message, so that the model goes on inside it."""
    for content in (last_content, last_content.strip()):  # templates may trim
        if content and content in text:
            return text[: text.rindex(content) + len(content)]
    return text


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
