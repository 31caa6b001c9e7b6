"""A bounded memory of what was found out lately."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values for a while, at most `most` of them: the one that was used longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[bytes, tuple[V, float, float]] = OrderedDict()

    def get(self, key: bytes, now_s: float) -> V | None:
        """The value, if there is one and `now_s` (Unix seconds) is in its time."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, from_s, until_s = entry
        if not from_s <= now_s < until_s:  # before its time: the clock was set back, and nothing is certain
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: V, from_s: float, for_s: float) -> None:
        """Keep `value` for `for_s` seconds from `from_s`."""
        self._entries[key] = (value, from_s, from_s + for_s)
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
