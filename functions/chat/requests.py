"""What callers may ask of `chat`, read from their requests' bodies and checked.

Sources: OpenAI's API reference, "Create chat completion" and "Conversations".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from events.chat import Item
from functions._runtime.errors import BadRequest, NotFound
from functions._runtime.http import Request
from functions._runtime.ports import Ids

MAX_ITEMS = 20
MAX_METADATA_PAIRS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
MAX_KEY_CHARACTERS = 255
ROLES = ("system", "developer", "user", "assistant", "tool")

_CONVERSATION_ID = re.compile(r"conv_[0-9a-f]{32}")
_PARTS_OF_ITEMS = {"input_text": "text", "output_text": "text", "text": "text"}


@dataclass(frozen=True, slots=True)
class AskedTurn:
    """A call of `/v1/chat/completions` with a conversation.

    Attributes:
        items: its messages, as they will be recorded.
        parameters: everything for the model but the messages.
        include_usage: whether the caller wants a stream's last chunk with the usage.
        key: the Idempotency-Key, if there is one.
    """

    conversation_id: str
    model: str
    items: tuple[Item, ...]
    parameters: Mapping[str, Any]
    stream: bool
    include_usage: bool
    key: str | None


def read_turn(request: Request, ids: Ids) -> AskedTurn:
    """The turn that `request` asks for.

    Raises:
        BadRequest: a field isn't what it should be; it is named.
        NotFound: that can't be the id of a conversation.
    """
    body = read_object(request)
    reference = body.pop("conversation", None)
    messages = body.pop("messages", None)
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages should be a list of at least one message: the new ones.", param="messages")
    model, stream = body.get("model"), body.get("stream") or False
    if not isinstance(model, str) or not model:
        raise BadRequest("model should be the name of a model; GET /v1/models lists them.", param="model")
    if not isinstance(stream, bool):
        raise BadRequest("stream should be true or false.", param="stream")
    if body.get("n") not in (None, 1):
        raise BadRequest("n should be 1: a conversation goes on with one answer.", param="n")
    options = body.get("stream_options")
    return AskedTurn(
        conversation_id=_referred_to(reference),
        model=model,
        items=tuple(_message(each, f"messages[{index}]", ids) for index, each in enumerate(messages)),
        parameters=body,
        stream=stream,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        key=_key(request),
    )


def read_object(request: Request) -> dict[str, Any]:
    """The body, if what stands in it can be written again: JSON may be read deeper than it is written."""
    body = request.json_object()
    try:
        orjson.dumps(body)
    except TypeError:
        raise BadRequest("The body is nested too deeply; 250 levels are enough.") from None
    return body


def conversation_id(text: str) -> str:
    """`text` if it can be the id of a conversation.

    Raises:
        NotFound: it can't, so there is no such conversation.
    """
    if not _CONVERSATION_ID.fullmatch(text):
        raise NotFound("There is no such conversation.", code="conversation_not_found")
    return text


def read_metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """The member `metadata`: at most 16 pairs of text; none if it is absent or null."""
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    fits = (
        isinstance(metadata, dict)
        and len(metadata) <= MAX_METADATA_PAIRS
        and all(len(key) <= MAX_METADATA_KEY for key in metadata)
        and all(isinstance(value, str) and len(value) <= MAX_METADATA_VALUE for value in metadata.values())
    )
    if not fits:
        raise BadRequest(
            f"metadata should be an object of at most {MAX_METADATA_PAIRS} pairs, keys of at most "
            f"{MAX_METADATA_KEY} characters and values texts of at most {MAX_METADATA_VALUE}.",
            param="metadata",
        )
    return dict(metadata)


def read_items(body: Mapping[str, Any], ids: Ids) -> list[Item]:
    """The member `items`: messages, in the form of OpenAI's Responses API, to start a conversation with."""
    items = body.get("items")
    if items is None:
        return []
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise BadRequest(f"items should be a list of at most {MAX_ITEMS} messages.", param="items")
    return [_item(each, f"items[{index}]", ids) for index, each in enumerate(items)]


def _referred_to(reference: Any) -> str:
    text = reference.get("id") if isinstance(reference, dict) else reference
    if not isinstance(text, str):
        raise BadRequest("conversation should be the id of a conversation.", param="conversation")
    return conversation_id(text)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise BadRequest(f"Idempotency-Key should have 1 to {MAX_KEY_CHARACTERS} characters.")
    return key


def _message(value: Any, where: str, ids: Ids) -> Item:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise BadRequest(f"{where}.role should be one of {', '.join(ROLES)}.", param=where)
    return Item(
        id=ids.new("msg"),
        role=value["role"],
        content=_content(value.get("content"), f"{where}.content"),
        name=_text(value, "name", where),
        tool_call_id=_text(value, "tool_call_id", where),
        tool_calls=_objects(value.get("tool_calls"), f"{where}.tool_calls"),
        reasoning_content=_text(value, "reasoning_content", where),
    )


def _item(value: Any, where: str, ids: Ids) -> Item:
    if not isinstance(value, dict) or value.get("type", "message") != "message":
        raise BadRequest(f"{where}.type should be message.", param=where)
    content = value.get("content")
    if isinstance(content, list):
        parts = _objects(content, f"{where}.content") or ()
        content = [
            {**part, "type": _PARTS_OF_ITEMS.get(str(part.get("type")), part.get("type"))} for part in parts
        ]
        if all(part["type"] == "text" and isinstance(part.get("text"), str) for part in content):
            content = "".join(part["text"] for part in content)
    return _message({"role": value.get("role"), "content": content}, where, ids)


def _content(value: Any, where: str) -> str | tuple[Mapping[str, Any], ...] | None:
    return value if isinstance(value, str) or value is None else _objects(value, where)


def _text(value: Mapping[str, Any], name: str, where: str) -> str | None:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise BadRequest(f"{where}.{name} should be a text.", param=f"{where}.{name}")
    return text


def _objects(value: Any, where: str) -> tuple[Mapping[str, Any], ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or not all(isinstance(part, dict) for part in value):
        raise BadRequest(f"{where} should be a text or a list of objects.", param=where)
    return tuple(value)
