"""Reading typed fields out of a JSON object, with errors that name the field and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from inference.errors import ValidationError

U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


def _kind(value: object) -> str:
    """The value's JSON type and, where it is short, the value."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    name = names.get(type(value), "null")
    shown = repr(value) if name in {"boolean", "integer", "number", "string"} else ""
    return f"{name} {shown}".strip() if len(shown) <= 40 else name


def json_text(value: object, name: str) -> str:
    """The JSON of what came as JSON; `name` is the field's full path.

    Raises:
        ValidationError: it is nested more deeply than can be written.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise ValidationError(f"`{name}` is nested too deeply") from error


@dataclass(frozen=True, slots=True)
class JsonFields:
    """A JSON object and the path that leads to it (empty for the body itself). `null` counts as absent.

    Every reader raises `ValidationError` for a value of another type, and none for a field that it doesn't
    know.
    """

    values: Mapping[str, Any]
    path: str = ""

    @classmethod
    def of(cls, value: object, path: str = "") -> JsonFields:
        """Take `value` as an object."""
        if not isinstance(value, dict):
            raise ValidationError(f"`{path or 'body'}` must be an object. Given: {_kind(value)}")
        return cls(value, path)

    def name(self, field: str) -> str:
        """The field's full path."""
        return f"{self.path}.{field}" if self.path else field

    def _wrong(self, field: str, wanted: str) -> ValidationError:
        return ValidationError(f"`{self.name(field)}` must be {wanted}. Given: {_kind(self.values[field])}")

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(field) is not None

    def require(self, field: str) -> Any:
        """The field's value, whatever its type."""
        if not self.has(field):
            raise ValidationError(f"missing field `{self.name(field)}`")
        return self.values[field]

    def text(self, field: str) -> str | None:
        """A string."""
        value = self.values.get(field)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(field, "a string")

    def flag(self, field: str, default: bool = False) -> bool:
        """A boolean."""
        value = self.values.get(field)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        raise self._wrong(field, "a boolean")

    def number(self, field: str) -> float | None:
        """A number; JSON has neither NaN nor infinity."""
        value = self.values.get(field)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise self._wrong(field, "a number")

    def integer(self, field: str, lowest: int = 0, highest: int = U32_MAX) -> int | None:
        """An integer within the bounds, both included."""
        value = self.values.get(field)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise self._wrong(field, f"an integer from {lowest} to {highest}")

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of strings; one bare string is taken as a list of one. Empty where absent."""
        value = self.values.get(field)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self._wrong(field, "a string or a list of strings")

    def object(self, field: str) -> JsonFields:
        """A nested object; an empty one where absent."""
        value = self.values.get(field)
        return JsonFields.of({} if value is None else value, self.name(field))

    def array(self, field: str) -> list[Any]:
        """A list of anything; empty where absent."""
        value = self.values.get(field)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        raise self._wrong(field, "a list")
