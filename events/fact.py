"""What a fact is: a frozen dataclass whose fields are the event's data, and the way there and back.

A field's type says what its JSON may be: ``str``, ``int``, ``bool``, ``X | None``, ``Any``,
``tuple[X, ...]`` (an array), ``Mapping[str, X]`` (an object), another dataclass; ``Annotated`` adds a
``Rule``. A field with a default may be absent, and is left out while it is None. Unknown members are ignored,
so that a field can be added without a new version.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, Union, get_args, get_origin, get_type_hints

from .errors import InvalidEvent, shown
from .grammar import is_timestamp


class Fact(Protocol):
    """Something that happened; frozen, in the past tense, versioned by its type."""

    TYPE: ClassVar[str]
    """The event's type, ``dev.hadal.<subject>.<fact>.v<n>``."""
    SOURCE: ClassVar[str]
    """Who emits it: the event's source, ``/hadal/<function>``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value keeps beyond its type: a JSON Schema keyword, and the check that the keyword means."""

    keyword: str
    operand: str | int
    holds: Callable[[Any], bool]
    wanted: str


Identifier = Annotated[str, Rule("minLength", 1, bool, "a non-empty string")]
Timestamp = Annotated[str, Rule("format", "date-time", is_timestamp, "an RFC 3339 timestamp")]
Count = Annotated[int, Rule("minimum", 0, lambda number: number >= 0, "a whole number, 0 or more")]

Decode = Callable[[Any, str], Any]
"""From a JSON value and the path where it stands (``data.items[0].id``) to a field's value."""


@cache
def field_types(record: type) -> dict[str, Any]:
    """The type of each field of a dataclass, rules included, in order."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in fields(record)}


@cache
def optional_fields(record: type) -> frozenset[str]:
    """The fields of a dataclass that may be absent: those with a default."""
    return frozenset(
        field.name
        for field in fields(record)
        if field.default is not MISSING or field.default_factory is not MISSING
    )


def encode(value: Any) -> Any:
    """The JSON value of a field or of a whole fact (orjson writes tuples as arrays)."""
    record: type = type(value)
    if is_dataclass(record):
        optional = optional_fields(record)
        members = ((name, getattr(value, name)) for name in field_types(record))
        return {name: encode(member) for name, member in members if not (member is None and name in optional)}
    if isinstance(value, list | tuple):
        return [encode(element) for element in value]
    if isinstance(value, Mapping):
        return {name: encode(member) for name, member in value.items()}
    return value


def decode(record: type, value: Any) -> Any:
    """The fact that a JSON value is; InvalidEvent names the first member that doesn't fit, by its path."""
    return decoder(record)(value, "data")


@cache
def decoder(annotation: Any) -> Decode:
    """How a value of this type is read from JSON."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return lambda value, path: value
    if annotation in _SCALARS:
        return _scalar(annotation)
    if origin is Annotated:
        return _ruled(decoder(arguments[0]), arguments[1])
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is tuple:
        return _array(decoder(arguments[0]))
    if origin is Mapping:
        return _object(decoder(arguments[1]))
    return _record(annotation)


_SCALARS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    type(None): "null",
}


def _unfit(path: str, value: Any, wanted: str) -> InvalidEvent:
    return InvalidEvent(f"{path} is {shown(value)}; it must be {wanted}", path)


def _scalar(kind: type) -> Decode:
    def read(value: Any, path: str) -> Any:
        if type(value) is not kind:  # not isinstance: true is no number
            raise _unfit(path, value, _SCALARS[kind])
        return value

    return read


def _ruled(inner: Decode, rule: Rule) -> Decode:
    def read(value: Any, path: str) -> Any:
        result = inner(value, path)
        if not rule.holds(result):
            raise _unfit(path, value, rule.wanted)
        return result

    return read


def _union(choices: tuple[Any, ...]) -> Decode:
    readers = {json_kind(choice): decoder(choice) for choice in choices}

    def read(value: Any, path: str) -> Any:
        reader = readers.get(_KINDS.get(type(value), "number"))
        if reader is None:
            raise _unfit(path, value, " or ".join(readers))
        return reader(value, path)

    return read


_KINDS: dict[type, str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}


def json_kind(annotation: Any) -> str:
    """The JSON Schema ``type`` of an annotation other than a union or Any."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return json_kind(get_args(annotation)[0])
    if origin is tuple:
        return "array"
    return _KINDS.get(annotation, "object")


def _array(inner: Decode) -> Decode:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _unfit(path, value, "an array")
        return tuple(inner(element, f"{path}[{index}]") for index, element in enumerate(value))

    return read


def _object(inner: Decode) -> Decode:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _unfit(path, value, "an object")
        return {name: inner(member, f"{path}.{name}") for name, member in value.items()}

    return read


def _record(record: type) -> Decode:
    readers = {name: decoder(annotation) for name, annotation in field_types(record).items()}
    optional = optional_fields(record)

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _unfit(path, value, "an object")
        arguments = {}
        for name, reader in readers.items():
            if name in value:
                arguments[name] = reader(value[name], f"{path}.{name}")
            elif name not in optional:
                raise InvalidEvent(f"{path}.{name} is missing; {record.__name__} needs it", f"{path}.{name}")
        return record(**arguments)

    return read
