"""Values and their casts (CloudEvents SQL 1.0, "Type System" and "Type Casting")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Attributes = Mapping[str, str]
Value = str | int | bool
Expression = Callable[[Attributes], Value]
"""Evaluates for one event; CesqlError where it has no value."""

SMALLEST, LARGEST = -(2**31), 2**31 - 1
_INTEGER = re.compile(r"[+-]?[0-9]+")


class CesqlError(Exception):
    """An expression has no value for an event: an attribute is missing, a cast or a division impossible."""


def to_string(value: Value) -> str:
    """Always defined."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def to_integer(value: Value) -> int:
    """Of a string its decimal digits, of a Boolean 1 or 0."""
    if not isinstance(value, str):
        return int(value)
    if _INTEGER.fullmatch(value) and SMALLEST <= (number := int(value)) <= LARGEST:
        return number
    raise CesqlError(f"{value!r} is no Integer")


def to_boolean(value: Value) -> bool:
    """Of a string `true` or `false` in any case, of an Integer whether it isn't zero."""
    if not isinstance(value, str):
        return bool(value)
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise CesqlError(f"{value!r} is no Boolean")


def cast_like(value: Value, other: Value) -> Value:
    """`value` in the type of `other`."""
    if isinstance(other, bool):
        return to_boolean(value)
    return to_integer(value) if isinstance(other, int) else to_string(value)


def wrapped(number: int) -> int:
    """In 32 bits with a sign, as the machine counts."""
    return (number - SMALLEST) % 2**32 + SMALLEST
