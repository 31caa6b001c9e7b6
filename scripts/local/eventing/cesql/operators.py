"""Operators as expressions over expressions (CloudEvents SQL 1.0, "Operators")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .values import (
    Attributes,
    CesqlError,
    Expression,
    Value,
    cast_like,
    to_boolean,
    to_integer,
    to_string,
    wrapped,
)


def literal(value: Value) -> Expression:
    """A value of its own."""
    return lambda _: value


def attribute(name: str) -> Expression:
    """An attribute's value."""

    def evaluate(attributes: Attributes) -> Value:
        if name not in attributes:
            raise CesqlError(f"the event has no attribute {name}")
        return attributes[name]

    return evaluate


def exists(name: str) -> Expression:
    """Whether the event has an attribute."""
    return lambda attributes: name in attributes


def negated(operand: Expression) -> Expression:
    """The Integer with the other sign."""
    return lambda attributes: wrapped(-to_integer(operand(attributes)))


def inverted(operand: Expression) -> Expression:
    """The other Boolean."""
    return lambda attributes: not to_boolean(operand(attributes))


def like(operand: Expression, pattern: str) -> Expression:
    r"""Whether the whole string fits: `%` is any text, `_` any character, `\%` and `\_` themselves."""
    parts = re.findall(r"\\[%_]|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    regex = re.compile(
        "".join(wild.get(part) or re.escape(part[-1] if part in (r"\%", r"\_") else part) for part in parts),
        re.DOTALL,
    )
    return lambda attributes: regex.fullmatch(to_string(operand(attributes))) is not None


def among(operand: Expression, choices: Sequence[Expression]) -> Expression:
    """Whether one of the choices, cast to the operand's type, equals it."""

    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        return any(cast_like(choice(attributes), value) == value for choice in choices)

    return evaluate


def _equal(left: Expression, right: Expression) -> Expression:
    def evaluate(attributes: Attributes) -> bool:
        first, second = left(attributes), right(attributes)
        return cast_like(first, second) == second

    return evaluate


def _of_integers(result: Callable[[int, int], Value]) -> Callable[[Expression, Expression], Expression]:
    def operator(left: Expression, right: Expression) -> Expression:
        def evaluate(attributes: Attributes) -> Value:
            first, second = left(attributes), right(attributes)
            return result(to_integer(first), to_integer(second))

        return evaluate

    return operator


def _quotient(x: int, y: int) -> int:
    """Towards zero."""
    if y == 0:
        raise CesqlError("division by zero")
    return wrapped(abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))


def _and(left: Expression, right: Expression) -> Expression:
    return lambda attributes: to_boolean(left(attributes)) and to_boolean(right(attributes))


def _or(left: Expression, right: Expression) -> Expression:
    return lambda attributes: to_boolean(left(attributes)) or to_boolean(right(attributes))


def _xor(left: Expression, right: Expression) -> Expression:
    return lambda attributes: to_boolean(left(attributes)) != to_boolean(right(attributes))


BINARY: dict[str, Callable[[Expression, Expression], Expression]] = {
    "*": _of_integers(lambda x, y: wrapped(x * y)),
    "/": _of_integers(_quotient),
    "%": _of_integers(lambda x, y: wrapped(x - _quotient(x, y) * y)),
    "+": _of_integers(lambda x, y: wrapped(x + y)),
    "-": _of_integers(lambda x, y: wrapped(x - y)),
    "<": _of_integers(lambda x, y: x < y),
    "<=": _of_integers(lambda x, y: x <= y),
    ">": _of_integers(lambda x, y: x > y),
    ">=": _of_integers(lambda x, y: x >= y),
    "=": _equal,
    "!=": lambda left, right: inverted(_equal(left, right)),
    "<>": lambda left, right: inverted(_equal(left, right)),
    "AND": _and,
    "OR": _or,
    "XOR": _xor,
}
"""By symbol or keyword."""
