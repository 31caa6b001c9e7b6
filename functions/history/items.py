"""A conversation's messages as OpenAI's conversation items.

Source: OpenAI's API reference, "Conversations", "Items"; the shapes are those that its SDK parses. One
recorded message may be several items: what was thought, what was said, each call of a tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from events.chat import Item

Status = Literal["completed", "incomplete"]
Shown = dict[str, Any]


def shown(item: Item, status: Status) -> list[Shown]:
    """The items that `item` is shown as, in their order; the ids are derived from its id."""
    if item.role == "tool":
        return [
            {
                "type": "function_call_output",
                "id": item.id,
                "call_id": item.tool_call_id,
                "output": _text(item),
                "status": status,
            }
        ]
    items: list[Shown] = []
    if item.reasoning_content:
        text = {"type": "reasoning_text", "text": item.reasoning_content}
        items.append(
            {"type": "reasoning", "id": f"rs_{item.id}", "summary": [], "content": [text], "status": status}
        )
    if item.content or not item.tool_calls:
        items.append(
            {"type": "message", "id": item.id, "status": status, "role": item.role, "content": _parts(item)}
        )
    return items + [
        _call(f"fc_{item.id}_{index}", call, status) for index, call in enumerate(item.tool_calls or ())
    ]


def _call(name: str, call: Mapping[str, Any], status: Status) -> Shown:
    function = call.get("function") or {}
    return {
        "type": "function_call",
        "id": name,
        "call_id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments", ""),
        "status": status,
    }


def _parts(item: Item) -> list[Shown]:
    if isinstance(item.content, str):
        return [_part(item.role, item.content)]
    return [_foreign(item.role, part) for part in item.content or ()]


def _foreign(role: str, part: Mapping[str, Any]) -> Shown:
    if part.get("type") == "text":
        return _part(role, part.get("text") or "")
    if part.get("type") == "image_url":
        image = part.get("image_url") or {}
        return {
            "type": "input_image",
            "image_url": image.get("url"),
            "detail": image.get("detail", "auto"),
            "file_id": None,
        }
    return dict(part)


def _part(role: str, text: str) -> Shown:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def _text(item: Item) -> str:
    if isinstance(item.content, str):
        return item.content
    return "".join(part["text"] for part in item.content or () if isinstance(part.get("text"), str))
