"""`tools`, `tool_choice` and `parallel_tool_calls` of a chat request; the grammar of a call that must come.

Source: OpenAI's API reference, "Create chat completion".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from inference.engine.grammar import GrammarKind, GrammarSource
from inference.errors import ToolError
from inference.json_fields import JsonFields, json_text
from inference.tool_formats import ToolFormat

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_CHOICES = ("none", "auto", "required")
# As the templates write arguments, and so that small models don't go on with blanks for ever.
_NO_BLANKS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """Functions that the model may call, or must.

    Attributes:
        tools: as they came, for the chat template, which knows their schemas as `parameters`.
        parameters: the JSON schema of each function's arguments, by the function's name.
        forced: the functions of which one must be called; empty where the model may answer otherwise.
        parallel: whether one answer may have several calls.
    """

    tools: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Mapping[str, Any]]
    forced: tuple[str, ...]
    parallel: bool

    @classmethod
    def of(cls, fields: JsonFields) -> ToolRequest | None:
        """Read a request's tools; None where there are none, or none may be called.

        Raises:
            ValidationError: a field of the wrong type.
            ToolError: a tool that can't be called, or a choice of one that isn't there.
        """
        tools = fields.array("tools")
        parameters: dict[str, Mapping[str, Any]] = {}
        written: list[Mapping[str, Any]] = []
        for index, tool in enumerate(tools):
            name, schema, known = _function(JsonFields.of(tool, fields.name(f"tools[{index}]")))
            if name in parameters:
                raise ToolError(f"`tools` has two functions named {name!r}")
            parameters[name] = schema
            written.append(known)
        choice, named = _choice(fields)
        if named is not None and named not in parameters:
            raise ToolError(
                f"`tool_choice` must be one of {', '.join(_CHOICES)}, or name a function of `tools`. "
                f"Given: {named[:80]!r}"
            )
        if choice == "required" and not tools:
            raise ToolError('`tool_choice: "required"` needs `tools`')
        if choice == "none" or not tools:
            return None
        forced = (named,) if named is not None else tuple(parameters) if choice == "required" else ()
        # A function that was named is called once.
        parallel = fields.flag("parallel_tool_calls", default=True) and named is None
        return cls(tuple(written), parameters, forced, parallel)

    def grammar(self, form: ToolFormat, token_id: Callable[[str], int | None]) -> GrammarSource:
        """What an answer looks like that calls one of the forced functions, in the model's own form.

        Args:
            form: how the model writes calls.
            token_id: the id of a text that is one token. llguidance takes every token in angle brackets
                for a special one, which a grammar names by its id.
        """
        begin, end = form.frames or ("", "")

        def literal(text: str) -> str:
            parts = re.split("(" + "|".join(map(re.escape, form.marks)) + ")", text) if form.marks else [text]
            ids = {part: token_id(part) for part in parts if part in form.marks}
            return " ".join(
                orjson.dumps(part).decode() if ids.get(part) is None else f"<[{ids[part]}]>"
                for part in parts
                if part
            )

        several = self.parallel and form.between is not None
        more = f"({literal(form.between or '')} call)*" if several else ""
        lines = [
            f"start: {literal(begin)} call {more} {literal(end)}",
            "call: " + " | ".join(f"call_{index}" for index in range(len(self.forced))),
        ]
        for index, name in enumerate(self.forced):
            schema = orjson.dumps({**self.parameters[name], "x-guidance": _NO_BLANKS}).decode()
            before = literal(form.before.replace("NAME", name))
            lines += [
                f"call_{index}: {before} arguments_{index} {literal(form.after)}",
                f"arguments_{index}: %json {schema}",
            ]
        return GrammarSource(GrammarKind.LARK, "\n".join(lines) + "\n")


def _function(tool: JsonFields) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Its name, the schema of its arguments, and the tool as chat templates know it."""
    kind = tool.text("type")
    if kind not in (None, "function"):
        raise ToolError(f"`{tool.name('type')}` must be function. Given: {kind!r}")
    tool.require("function")
    function = tool.object("function")
    function.require("name")
    name = function.text("name") or ""
    if not _NAME.fullmatch(name):
        raise ToolError(
            f"`{function.name('name')}` must be 1 to 64 letters, digits, underscores or dashes. "
            f"Given: {name[:80]!r}"
        )
    place = "parameters" if function.has("parameters") else "arguments"  # as TGI's OpenAPI document calls it
    schema = dict(function.object(place).values)
    if not function.has(place):
        schema = {"properties": {}, "additionalProperties": False}
    if schema.setdefault("type", "object") != "object":
        raise ToolError(f"`{function.name(place)}` must be a JSON schema of type object")
    json_text(schema, function.name(place))
    known = tool.values
    if place == "arguments" and function.has(place):
        others = {field: value for field, value in function.values.items() if field != place}
        known = {**known, "function": {**others, "parameters": function.values[place]}}
    return name, schema, known


def _choice(fields: JsonFields) -> tuple[str, str | None]:
    """One of `_CHOICES`; or `required` and the name of the function."""
    value = fields.values.get("tool_choice")
    if value is None:
        return "auto", None
    if isinstance(value, str):  # TGI takes the bare name of a function too
        return (value, None) if value in _CHOICES else ("required", value)
    chosen = fields.object("tool_choice")
    if chosen.text("type") not in (None, "function"):
        raise ToolError(f"`{chosen.name('type')}` must be function. Given: {chosen.text('type')!r}")
    chosen.require("function")
    function = chosen.object("function")
    function.require("name")
    return "required", function.text("name") or ""
