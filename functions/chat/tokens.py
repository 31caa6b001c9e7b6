"""How long a text is for a model whose tokenizer isn't here: an estimate, rather too much than too little."""

from __future__ import annotations

import orjson

from events.chat import Item

BYTES_PER_TOKEN = 3
"""Byte-level tokenizers make 3.5 to 4.5 bytes of prose a token, and about 3 of code and of other scripts."""

MESSAGE_TOKENS = 8
"""What a chat template puts around one message: role, begin and end."""


def count_tokens(item: Item) -> int:
    """The tokens of one message in a prompt; parts that aren't text count by their bytes too."""
    size_bytes = 0
    if isinstance(item.content, str):
        size_bytes = len(item.content.encode())
    elif item.content:
        size_bytes = len(orjson.dumps(item.content))
    if item.tool_calls:
        size_bytes += len(orjson.dumps(item.tool_calls))
    return MESSAGE_TOKENS + _tokens(size_bytes)


def count_text_tokens(text: str) -> int:
    """The tokens of a text inside a message."""
    return _tokens(len(text.encode()))


def _tokens(size_bytes: int) -> int:
    return -(-size_bytes // BYTES_PER_TOKEN)
