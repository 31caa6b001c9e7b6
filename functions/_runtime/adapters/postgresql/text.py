r"""Any text as text that PostgreSQL takes: its types `text` and `json` hold every character but NUL.

U+0000 becomes U+0001 and `0`, and U+0001 becomes U+0001 and `1`: the order of two texts stays what it was.
In JSON both stand as escapes (`\u0001`), which is how orjson writes them.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_ESCAPED = re.compile(r"\\(?:u000([01])|.)")
_KEPT = re.compile(r"\\(?:u0001([01])|.)")


def kept_text(text: str) -> str:
    """`text` as it is kept."""
    if "\x00" in text or "\x01" in text:
        return text.replace("\x01", "\x011").replace("\x00", "\x010")
    return text


def text_of(kept: str) -> str:
    """The text of `kept_text`."""
    return kept.replace("\x010", "\x00").replace("\x011", "\x01") if "\x01" in kept else kept


def kept_json(value: Any) -> str:
    """`value` as JSON, as it is kept."""
    text = orjson.dumps(value).decode()
    if r"\u000" not in text:
        return text
    return _ESCAPED.sub(lambda found: rf"\u0001{found[1]}" if found[1] else found[0], text)


def value_of(kept: str) -> Any:
    """The value of `kept_json`."""
    if r"\u0001" in kept:
        kept = _KEPT.sub(lambda found: rf"\u000{found[1]}" if found[1] else found[0], kept)
    return orjson.loads(kept)
