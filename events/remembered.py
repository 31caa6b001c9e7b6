"""Answers that are kept, because what they are about recurs from event to event.

Sources, types, media types and the names of headers are few, but strangers may send any. So only so many
answers are kept, none about a long text, and an answer looks at nothing but its text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_KEPT_ANSWERS = 1_024
_KEPT_CHARACTERS = 1_024

Texts = str | bytes | None | tuple["Texts", ...]

T = TypeVar("T", bound=Texts)
R = TypeVar("R")


def remembered(rule: Callable[[T], R]) -> Callable[[T], R]:
    """The rule with its answers kept, at half of what ``lru_cache`` costs; what it raises isn't kept."""
    return _Answers(rule).__getitem__


class _Answers(dict[T, R]):
    def __init__(self, rule: Callable[[T], R]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, texts: T) -> R:
        answer = self._rule(texts)
        if _characters(texts) <= _KEPT_CHARACTERS:
            if len(self) >= _KEPT_ANSWERS:
                self.clear()  # those in use are back in a moment
            self[texts] = answer
        return answer


def _characters(texts: Texts) -> int:
    if texts is None:
        return 0
    return sum(map(_characters, texts)) if isinstance(texts, tuple) else len(texts)
