"""Stop sequences, found wherever they fall, also across the borders of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """Text that may be shown, and the stop sequence that ended the generation, if one did."""

    text: str
    matched: str | None = None


class StopSequences:
    """Holds back what could be the beginning of a stop sequence until it is known whether it is one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> Release:
        """Take more text; after a match nothing more may be pushed."""
        text = self._held + text
        found = [(position, stop) for stop in self._stops if (position := text.find(stop)) >= 0]
        if found:
            # The earliest match wins; of two that begin at the same place, the longer one.
            position, stop = min(found, key=lambda match: (match[0], -len(match[1])))
            self._held = ""
            return Release(text[:position], stop)
        held = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return Release(text[: len(text) - held])

    def flush(self) -> str:
        """Return what was held back: the generation has ended otherwise."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` with which `mark` begins, without being whole."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
