"""The messages of a chat request, checked by role."""

from __future__ import annotations

from typing import Any

from functions.gateway.rules import array, invalid, missing, one_of, record, text, wrong_type

MOST_MESSAGES = 100_000

_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content")
_PLAIN_ROLES = ("system", "developer", "user")
_ROLE = one_of("system", "developer", "user", "assistant", "tool", "function")


def check_messages(param: str, value: Any) -> None:
    """At least one message, each in the form of its role.

    Raises:
        BadRequest: one isn't; `param` is the path of the field at fault.
    """
    if isinstance(value, list) and value and all(map(_is_plain, value)):
        return
    array(_message, at_most=MOST_MESSAGES)(param, value)


def _is_plain(message: Any) -> bool:
    """A look that is enough for most messages: a text of the system or the user."""
    return (
        type(message) is dict
        and len(message) == 2
        and type(message.get("content")) is str
        and message.get("role") in _PLAIN_ROLES
    )


def _message(param: str, message: Any) -> None:
    role = record(param, message).get("role")
    if role is None:
        raise missing(f"{param}.role")
    _ROLE(f"{param}.role", role)
    content = message.get("content")
    if content is not None:
        _content(f"{param}.content", content)
    elif role != "assistant":
        raise missing(f"{param}.content")
    elif not any(message.get(other) for other in _INSTEAD_OF_CONTENT):
        raise invalid(f"{param}.content", "an assistant's message needs content, or tool calls, or a refusal")
    if role == "tool":
        if "tool_call_id" not in message:
            raise missing(f"{param}.tool_call_id")
        text(f"{param}.tool_call_id", message["tool_call_id"])
    if message.get("name") is not None:
        text(f"{param}.name", message["name"])
    if message.get("tool_calls") is not None:
        _TOOL_CALLS(f"{param}.tool_calls", message["tool_calls"])


def _content(param: str, content: Any) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array of objects", content)
    _PARTS(param, content)


def _part(param: str, part: Any) -> None:
    kind = record(param, part).get("type")
    if kind is None:
        raise missing(f"{param}.type")
    text(f"{param}.type", kind)
    if kind == "text":
        if "text" not in part:
            raise missing(f"{param}.text")
        text(f"{param}.text", part["text"])


def _tool_call(param: str, call: Any) -> None:
    for name in ("id", "type"):
        if name not in record(param, call):
            raise missing(f"{param}.{name}")
        text(f"{param}.{name}", call[name])
    if call["type"] == "function":
        if "function" not in call:
            raise missing(f"{param}.function")
        function = record(f"{param}.function", call["function"])
        for name in ("name", "arguments"):
            if name not in function:
                raise missing(f"{param}.function.{name}")
            text(f"{param}.function.{name}", function[name])


_PARTS = array(_part, at_most=10_000)
_TOOL_CALLS = array(_tool_call, at_most=1_000)
