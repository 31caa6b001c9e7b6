"""The messages of a chat request, as chat templates know them."""

from __future__ import annotations

import json
from typing import Any

from inference.errors import ValidationError
from inference.json_fields import JsonFields

_PASSED_ON = ("name", "tool_call_id")


def read_messages(fields: JsonFields) -> tuple[dict[str, Any], ...]:
    """A request's messages.

    Raises:
        ValidationError: none, one that can't be read, or a `prefix` that isn't the assistant's last message.
    """
    fields.require("messages")
    messages = tuple(
        _message(JsonFields.of(message, fields.name(f"messages[{index}]")))
        for index, message in enumerate(fields.array("messages"))
    )
    if not messages:
        raise ValidationError("`messages` must hold at least one message")
    for index, message in enumerate(messages):
        if message.get("prefix") and (index + 1 < len(messages) or message["role"] != "assistant"):
            name = fields.name(f"messages[{index}].prefix")
            raise ValidationError(f"`{name}` is for the last message, where it is the assistant's")
    return messages


def _message(fields: JsonFields) -> dict[str, Any]:
    """A message as chat templates know it: content is text, and there is no role `developer`.

    Raises:
        ValidationError: a field of the wrong type, or content that isn't text.
    """
    fields.require("role")
    role = fields.text("role")
    message: dict[str, Any] = {
        "role": "system" if role == "developer" else role,
        "content": _content(fields),
    }
    message |= {name: fields.values[name] for name in _PASSED_ON if fields.has(name)}
    if fields.has("reasoning_content"):
        message["reasoning_content"] = fields.text("reasoning_content")
    if fields.flag("prefix"):
        message["prefix"] = True
    calls = fields.array("tool_calls")
    if calls:
        message["tool_calls"] = [
            _call(JsonFields.of(call, fields.name(f"tool_calls[{index}]")))
            for index, call in enumerate(calls)
        ]
    return message


def _content(fields: JsonFields) -> str:
    """Text as it is; text parts one after the other, as in TGI."""
    content = fields.values.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValidationError(f"`{fields.name('content')}` must be a string or a list of parts")
    parts = [JsonFields.of(part, fields.name(f"content[{index}]")) for index, part in enumerate(content)]
    return "".join(_part_text(part) for part in parts)


def _part_text(part: JsonFields) -> str:
    kind = part.text("type")
    if kind != "text":
        modality = (kind or "unknown").removesuffix("_url").removeprefix("input_")
        raise ValidationError(f"{modality} modality is not supported")
    part.require("text")
    return part.text("text") or ""


def _call(fields: JsonFields) -> dict[str, Any]:
    """A call as OpenAI writes it: the arguments are text."""
    fields.require("function")
    function = fields.object("function")
    function.require("name")
    arguments = function.values.get("arguments", "{}")
    if isinstance(arguments, dict):
        try:
            text: str | None = json.dumps(arguments, ensure_ascii=False)
        except RecursionError as error:
            raise ValidationError(f"`{function.name('arguments')}` is nested too deeply") from error
    else:
        text = function.text("arguments")
    return {
        "id": fields.text("id") or "",
        "type": "function",
        "function": {"name": function.text("name"), "arguments": text or "{}"},
    }
