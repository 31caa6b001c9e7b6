"""The model's answer, gathered from a stream's chunks or read from a whole completion, as an item to record.

Source: OpenAI's API reference, "The chat completion chunk object"; `reasoning_content` is DeepSeek's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from events.chat import Item, Usage
from functions._runtime.errors import BadGateway

Json = Mapping[str, Any]


class Answer:
    """The first choice of a completion as far as it has come.

    Attributes:
        finish_reason: why the model stopped; None until it has.
        usage: what the server counted, if it has said so.
        pieces: how many chunks have brought something: about one a token.
    """

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.pieces = 0
        self._texts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "refusal": []}
        self._parts: list[Json] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}

    def add_chunk(self, chunk: Json) -> None:
        """Take one chunk of a stream; BadGateway if it has another shape."""
        with _shape_checked():
            self._read_usage(chunk.get("usage"))
            for choice in chunk.get("choices") or ():
                if choice.get("index", 0) == 0:
                    self._add(choice.get("delta") or {})
                    self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def add_completion(self, completion: Json) -> None:
        """Take a whole `chat.completion`; BadGateway if it has another shape."""
        with _shape_checked():
            self._read_usage(completion.get("usage"))
            choice = completion["choices"][0]
            self._add(choice["message"])
            self.finish_reason = choice.get("finish_reason") or "stop"

    def item(self, item_id: str) -> Item | None:
        """What there is of it, or None if nothing has come."""
        content, reasoning, refusal = ("".join(pieces) for pieces in self._texts.values())
        parts: tuple[Json, ...] = tuple(self._parts)
        if refusal:
            text = ({"type": "text", "text": content},) if content else ()
            parts = (*parts, *text, {"type": "refusal", "refusal": refusal})
        calls = tuple(self._tool_calls[index] for index in sorted(self._tool_calls))
        if not (content or parts or calls or reasoning or self.finish_reason):
            return None
        return Item(
            id=item_id,
            role="assistant",
            content=parts or content or (None if calls else ""),
            tool_calls=calls or None,
            reasoning_content=reasoning or None,
        )

    def _add(self, delta: Json) -> None:
        brought = False
        for name, pieces in self._texts.items():
            piece = delta.get(name)
            if isinstance(piece, str) and piece:
                pieces.append(piece)
                brought = True
        if isinstance(delta.get("content"), list):
            self._parts += delta["content"]
        for position, call in enumerate(delta.get("tool_calls") or ()):
            self._add_tool_call(call.get("index", position), call)
            brought = True
        self.pieces += brought

    def _add_tool_call(self, index: int, call: Json) -> None:
        known = self._tool_calls.setdefault(
            index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        known["id"] = known["id"] or call.get("id")
        function = call.get("function") or {}
        for name in ("name", "arguments"):
            piece = function.get(name) or ""  # some servers give the arguments as the object itself
            known["function"][name] += piece if isinstance(piece, str) else orjson.dumps(piece).decode()

    def _read_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if isinstance(prompt, int) and isinstance(completion, int) and min(prompt, completion) >= 0:
                self.usage = Usage(prompt, completion)


@contextmanager
def _shape_checked() -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError):
        raise BadGateway("The model service answered with something that is no chat completion.") from None
