"""Reading a manifest field by field: what has the wrong type, and what nobody reads, becomes a `Problem`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .model import SourceLocation
from .problems import Problem
from .source import List, Map


class Fields:
    """One map of a manifest. Readers take what they honour; `finish` refuses the rest.

    A wrong value is reported and read as its default, so that one pass finds every fault.
    """

    def __init__(self, value: Any, where: SourceLocation, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.where = where
        self.problems = problems
        self._known: set[str] = set()
        self._quiet: set[str] = set()
        if isinstance(value, Map):
            self._map = value
        else:
            self._map = Map(where)
            if value is not None:
                self.problems.append(Problem(where, path, f"must be a map, not {_kind(value)}"))

    def __contains__(self, key: str) -> bool:
        return self._map.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._map)

    def at(self, key: str) -> SourceLocation:
        """Where a field stands."""
        return self._map.at(key)

    def fault(self, key: str, text: str) -> None:
        """Report what is wrong with a field ("" is the map itself)."""
        self.problems.append(Problem(self.at(key) if key else self.where, self._path(key), text))

    def text(self, key: str, default: str = "") -> str:
        """A field that is text."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fault(key, f"must be text, not {_kind(value)}: put it into quotes")
            return default
        return value

    def number_or_text(self, key: str) -> str:
        """A field that is text or a number, as text."""
        value = self._take(key)
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.fault(key, f"must be a number or text, not {_kind(value)}")
            return "0"
        return str(value)

    def required(self, key: str) -> str:
        """A field that must be there and be text that isn't empty."""
        value = self.text(key)
        if not value and not any(each.path == self._path(key) for each in self.problems):
            self.fault(key, "is missing")
        return value

    def integer(
        self, key: str, default: int | None = None, least: int = 0, most: float = math.inf
    ) -> int | None:
        """A field that is a whole number within bounds."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(key, f"must be a whole number, not {_kind(value)}")
            return default
        if not least <= value <= most:
            self.fault(key, f"{value} is out of range: {_range(least, most)}")
            return default
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        """A field that is true or false."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(key, f"must be true or false, not {_kind(value)}")
            return default
        return value

    def fields(self, key: str) -> Fields:
        """A field that is a map; an empty one where it is missing."""
        return Fields(self._take(key), self.at(key), self._path(key), self.problems)

    def items(self, key: str) -> list[Fields]:
        """A field that is a list of maps."""
        return [Fields(value, where, path, self.problems) for value, where, path in self._elements(key)]

    def texts(self, key: str) -> tuple[str, ...]:
        """A field that is a list of texts."""
        found: list[str] = []
        for value, where, path in self._elements(key):
            if isinstance(value, str):
                found.append(value)
            else:
                self.problems.append(Problem(where, path, f"must be text, not {_kind(value)}"))
        return tuple(found)

    def text_map(self, key: str) -> dict[str, str]:
        """A field that is a map of texts, such as labels."""
        child = self.fields(key)
        return {name: child.text(name) for name in child}

    def ignore(self, *keys: str) -> None:
        """Fields that are right in a manifest and mean nothing on one machine."""
        self._quiet.update(keys)

    def finish(self) -> None:
        """Refuse every field that was neither taken nor ignored."""
        for key in self._map:
            if key not in self._known and key not in self._quiet:
                supported = ", ".join(sorted(self._known)) or "none"
                self.fault(key, f"is not supported here; supported fields are {supported}")

    def _take(self, key: str) -> Any:
        self._known.add(key)
        return self._map.get(key)

    def _elements(self, key: str) -> list[tuple[Any, SourceLocation, str]]:
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, List):
            self.fault(key, f"must be a list, not {_kind(value)}")
            return []
        return [(each, value.at(index), f"{self._path(key)}[{index}]") for index, each in enumerate(value)]

    def _path(self, key: str) -> str:
        if not key:
            return self.path
        name = f"[{key}]" if "/" in key or "." in key else f".{key}"
        return f"{self.path}{name}" if self.path else key


def _kind(value: Any) -> str:
    match value:
        case bool():
            return f"{value}".lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
    return "a map"


def _range(least: float, most: float) -> str:
    return f"at least {least}" if most == math.inf else f"{least} to {most}"
