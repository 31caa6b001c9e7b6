"""The rules that fields of a body are checked by, and the refusals in the terms of OpenAI.

A rule is called with the field's path (`messages[0].role`) and its value, and raises or returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functions._runtime.errors import BadRequest

Rule = Callable[[str, Any], None]

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def missing(param: str) -> BadRequest:
    """A field that has to be there isn't."""
    return BadRequest(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def wrong_type(param: str, expected: str, value: object) -> BadRequest:
    """A field has a value of another type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {_KINDS[type(value)]} instead."
    return BadRequest(message, code="invalid_type", param=param)


def invalid(param: str, reason: str, code: str = "invalid_value") -> BadRequest:
    """A field has a value of the right type that can't be."""
    return BadRequest(f"Invalid '{param}': {reason}.", code=code, param=param)


def boolean(param: str, value: Any) -> None:
    """True or false."""
    if value is not True and value is not False:
        raise wrong_type(param, "a boolean", value)


def text(param: str, value: Any) -> None:
    """A string."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)


def record(param: str, value: Any) -> dict[str, Any]:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    return value


def number(least: float, most: float) -> Rule:
    """A number from `least` to `most`."""

    def rule(param: str, value: Any) -> None:
        if type(value) is not float and type(value) is not int:
            raise wrong_type(param, "a decimal", value)
        _within(param, value, least, most, "decimal")

    return rule


def integer(least: int, most: int | None = None) -> Rule:
    """A whole number from `least` to `most`."""

    def rule(param: str, value: Any) -> None:
        if type(value) is not int:
            raise wrong_type(param, "an integer", value)
        _within(param, value, least, most, "integer")

    return rule


def one_of(*known: str) -> Rule:
    """One of a few words."""

    def rule(param: str, value: Any) -> None:
        if value not in known:
            text(param, value)
            supported = ", ".join(f"'{word}'" for word in known)
            message = f"Invalid value for '{param}'. Supported values are: {supported}."
            raise BadRequest(message, code="invalid_value", param=param)

    return rule


def array(rule: Rule, *, at_most: int) -> Rule:
    """An array of 1 to `at_most` values that `rule` holds for."""

    def check(param: str, value: Any) -> None:
        if not isinstance(value, list):
            raise wrong_type(param, "an array", value)
        if not value:
            raise invalid(param, "the array is empty; give it at least one entry", "empty_array")
        if len(value) > at_most:
            raise invalid(param, f"the array is longer than {at_most}", "array_above_max_length")
        for index, entry in enumerate(value):
            rule(f"{param}[{index}]", entry)

    return check


def _within(param: str, value: float, least: float, most: float | None, kind: str) -> None:
    if value < least:
        reason = f"{kind} below minimum value; expected a value >= {least}, but got {value}"
        raise invalid(param, reason, f"{kind}_below_min_value")
    if most is not None and value > most:
        reason = f"{kind} above maximum value; expected a value <= {most}, but got {value}"
        raise invalid(param, reason, f"{kind}_above_max_value")
