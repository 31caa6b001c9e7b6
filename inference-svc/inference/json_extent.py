"""Where a JSON object ends in a text that comes piece by piece."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TURNS = re.compile(r'["\\{}\[\]]')


@dataclass(slots=True)
class JsonExtent:
    """Follows one object from its opening brace on, by brackets and strings; it checks nothing else."""

    _depth: int = 0
    _in_string: bool = False
    _escaped: bool = False

    def take(self, text: str) -> int | None:
        """Read on; the length of the part of `text` with which the object ends, None while it doesn't."""
        start = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        while match := _TURNS.search(text, start):
            start = match.end()
            if self._in_string and match[0] == "\\":
                self._escaped = start == len(text)
                start += 1
            elif match[0] == '"':
                self._in_string = not self._in_string
            elif not self._in_string and match[0] != "\\":
                self._depth += 1 if match[0] in "{[" else -1
                if self._depth == 0:
                    return start
        return None
