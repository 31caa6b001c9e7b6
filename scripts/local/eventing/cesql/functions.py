"""The functions that every implementation has (CloudEvents SQL 1.0, "Functions")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .values import SMALLEST, CesqlError, Expression, Value, to_boolean, to_integer, to_string

_Cast = Callable[[Value], Value]


def _any(value: Value) -> Value:
    return value


def _is(cast: _Cast) -> Callable[[Value], bool]:
    def test(value: Value) -> bool:
        try:
            cast(value)
        except CesqlError:
            return False
        return True

    return test


def _abs(number: int) -> int:
    if number == SMALLEST:
        raise CesqlError(f"{number} has no absolute value in 32 bits")
    return abs(number)


def _left(text: str, length: int) -> str:
    return text[: _not_negative(length)]


def _right(text: str, length: int) -> str:
    return text[max(0, len(text) - _not_negative(length)) :]


def _substring(text: str, position: int, length: int | None = None) -> str:
    """From a position that counts from 1, or from the end where it is negative; none at 0."""
    if abs(position) > len(text):
        raise CesqlError(f"there is no position {position} in a text of {len(text)} characters")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start:] if length is None else text[start : start + _not_negative(length)]


def _not_negative(number: int) -> int:
    if number < 0:
        raise CesqlError(f"{number} is no length")
    return number


_FIXED: dict[tuple[str, int], tuple[tuple[_Cast, ...], Callable[..., Value]]] = {
    ("INT", 1): ((_any,), to_integer),
    ("BOOL", 1): ((_any,), to_boolean),
    ("STRING", 1): ((_any,), to_string),
    ("IS_INT", 1): ((_any,), _is(to_integer)),
    ("IS_BOOL", 1): ((_any,), _is(to_boolean)),
    ("ABS", 1): ((to_integer,), _abs),
    ("LENGTH", 1): ((to_string,), len),
    ("LOWER", 1): ((to_string,), str.lower),
    ("UPPER", 1): ((to_string,), str.upper),
    ("TRIM", 1): ((to_string,), str.strip),
    ("LEFT", 2): ((to_string, to_integer), _left),
    ("RIGHT", 2): ((to_string, to_integer), _right),
    ("SUBSTRING", 2): ((to_string, to_integer), _substring),
    ("SUBSTRING", 3): ((to_string, to_integer, to_integer), _substring),
}
_OF_STRINGS: dict[str, tuple[int, Callable[..., Value]]] = {  # with the fewest that they take
    "CONCAT": (0, lambda *texts: "".join(texts)),
    "CONCAT_WS": (1, lambda separator, *texts: separator.join(texts)),
}


def call(name: str, arguments: Sequence[Expression]) -> Expression:
    """The call of a function, whose name is in upper case.

    Raises:
        LookupError: there is no such function with so many arguments; the message says which there are.
    """
    casts, function = _resolved(name, len(arguments))

    def evaluate(attributes: Any) -> Value:
        values = [argument(attributes) for argument in arguments]
        return function(*(cast(value) for cast, value in zip(casts, values, strict=True)))

    return evaluate


def _resolved(name: str, count: int) -> tuple[Sequence[_Cast], Callable[..., Value]]:
    if (name, count) in _FIXED:
        return _FIXED[name, count]
    fewest, function = _OF_STRINGS.get(name, (count + 1, len))
    if count >= fewest:
        return [to_string] * count, function
    known = ", ".join(sorted({known for known, _ in _FIXED} | _OF_STRINGS.keys()))
    raise LookupError(f"there is no function {name} of {count} arguments; there are {known}")
