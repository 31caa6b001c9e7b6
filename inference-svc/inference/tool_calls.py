"""Calls of tools, read out of a model's text while it is being written.

A call is told as soon as its head is whole (the function's name, up to the arguments' brace), and then its
arguments piece by piece, as they are written. What has the mark of a call but isn't one is content.
Arguments may be invalid JSON, as OpenAI warns: a model may break off in the middle of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.json_extent import JsonExtent
from inference.stopping import overlap
from inference.tool_formats import ToolFormat

LONGEST_HEAD_CHARACTERS = 256  # a name has at most 64: what is longer is an answer that begins with a brace


@dataclass(frozen=True, slots=True)
class CallPiece:
    """Part of a call. The first one of an index has its `id` and `name`, the others more of its arguments."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


@dataclass(slots=True)
class Reading:
    """What a piece of text has brought."""

    content: str = ""
    calls: list[CallPiece] = field(default_factory=list)


class ToolCallReader:
    """Reads one answer. `names` are what may be called; without `parallel`, one call ends the answer."""

    def __init__(self, tool_format: ToolFormat, names: Collection[str], *, parallel: bool) -> None:
        self.called = False
        self._format = tool_format
        self._names = names
        self._parallel = parallel
        self._state: Callable[[bool], bool] = self._outside
        self._held = ""
        self._blank = ""  # at the end of what was said: it belongs to a call that may follow
        self._said = False
        self._index = -1
        self._arguments = JsonExtent()
        self._reading = Reading()

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that the reader has to see, though they may be special tokens."""
        return self._format.marks

    @property
    def is_done(self) -> bool:
        """Whether the one call that was allowed is whole, so that nothing more is wanted."""
        return self.called and not self._parallel and self._state != self._inside_arguments

    def push(self, text: str, *, last: bool = False) -> Reading:
        """Take more text, with `last` the end of it; return what is certain now."""
        self._held += text
        while self._state(last):
            pass
        if last:
            self._say(self._held, last=True)
        reading, self._reading = self._reading, Reading()
        return reading

    # Each state looks at the text that is held, and says whether another one should look again.

    def _outside(self, last: bool) -> bool:
        form = self._format
        position = self._held.find(form.opening)
        if form.opening == "{" and (self._said or self._held[:position].strip()):
            position = -1
        if position >= 0:
            self._say(self._held[:position])
            self._held = self._held[position:]
            self._state = self._head
            return True
        kept = 0 if last else max(overlap(self._held, mark) for mark in (form.opening, *form.frames))
        sayable = len(self._held) - kept
        self._say(self._held[:sayable])
        self._held = self._held[sayable:]
        return False

    def _head(self, last: bool) -> bool:
        closing = self._format.closing
        head = self._format.header.match(self._held)
        if head and head["name"] in self._names:
            self._begin(head["name"])
            self._held = self._held[head.end() :]
            self._arguments = JsonExtent()
            self._state = self._inside_arguments
            return True
        end = self._held.find(closing) if closing else -1
        too_long = not closing and len(self._held) > LONGEST_HEAD_CHARACTERS
        if not (head or last or too_long or end >= 0):
            return False
        body = self._held[len(closing and self._format.opening) : end if end >= 0 else None]
        calls = [] if head or too_long else _whole_calls(body, self._names)
        for name, arguments in calls if self._parallel else calls[:1]:
            self._begin(name)
            self._reading.calls.append(CallPiece(self._index, arguments))
        taken = len(self._format.opening)
        if calls:
            taken = end + len(closing) if end >= 0 else len(self._held)
        else:
            self._say(self._format.opening)
        self._held = self._held[taken:]
        self._state = self._outside
        return True

    def _inside_arguments(self, last: bool) -> bool:
        end = self._arguments.take(self._held)
        piece = self._held if end is None else self._held[:end]
        if piece:
            self._reading.calls.append(CallPiece(self._index, piece))
        self._held = self._held[len(piece) :]
        if end is None:
            return False
        self._state = self._after
        return True

    def _after(self, last: bool) -> bool:
        closing = self._format.closing
        self._held = self._held.lstrip(self._format.filler)
        if not last and (not self._held or (closing != self._held and closing.startswith(self._held))):
            return False
        self._held = self._held.removeprefix(closing)
        self._state = self._outside
        return True

    def _begin(self, name: str) -> None:
        self.called = True
        self._index += 1
        self._blank = ""
        self._reading.calls.append(CallPiece(self._index, "", f"call_{uuid.uuid4().hex[:24]}", name))

    def _say(self, text: str, *, last: bool = False) -> None:
        """Blanks wait for what follows them: around a call they are nobody's."""
        for frame in self._format.frames:
            text = text.replace(frame, "")
        text = self._blank + text
        shown = text if last and not self.called else text.rstrip()
        self._blank = text[len(shown) :]
        if self.called and not self._said:
            shown = shown.lstrip()
        self._said = self._said or bool(shown)
        self._reading.content += shown


def _whole_calls(body: str, names: Collection[str]) -> list[tuple[str, str]]:
    """Name and arguments of each call in a body that has no usual head; [] if it isn't of calls alone."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    calls = [_call(entry) for entry in (value if isinstance(value, list) else [value])]
    found = [call for call in calls if call is not None and call[0] in names]
    return found if len(found) == len(calls) else []


def _call(entry: Any) -> tuple[str, str] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    arguments = entry.get("arguments", entry.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return entry["name"], text
