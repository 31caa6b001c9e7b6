"""The words of an expression."""

from __future__ import annotations

import re
from dataclasses import dataclass

KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"})
_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<string>"(?:\\.|""|[^"\\])*"|'(?:\\.|''|[^'\\])*')
    |(?P<integer>[+-]?[0-9]+(?![0-9A-Za-z_]))
    |(?P<function>[A-Za-z][A-Za-z_]*_[A-Za-z_]*(?![0-9A-Za-z_]))
    |(?P<name>[A-Za-z0-9]+(?!_))
    |(?P<symbol><=|>=|<>|!=|[=<>()*/%+,-])
    )""",
    re.VERBOSE | re.DOTALL,
)


class CesqlSyntaxError(ValueError):
    """The text is no expression; the message says where and what would be right."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word: its kind (`string`, `integer`, `function`, `name`, `keyword`, `symbol`, `end`), text and place.

    A keyword's text is in upper case; a string's still has its quotes.
    """

    kind: str
    text: str
    place: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"{self.text!r} at character {self.place + 1}"


def tokens(expression: str) -> list[Token]:
    """The expression's words, with an `end` behind them; CesqlSyntaxError at what is none."""
    found: list[Token] = []
    place = 0
    rest = len(expression.rstrip(" \t\r\n"))
    while place < rest:
        match = _TOKEN.match(expression, place)
        if match is None or match.lastgroup is None:
            at = place + len(expression[place:]) - len(expression[place:].lstrip(" \t\r\n"))
            raise CesqlSyntaxError(
                f"{expression[at]!r} at character {at + 1} begins no word of CloudEvents SQL"
            )
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind == "name" and text.upper() in KEYWORDS:
            kind, text = "keyword", text.upper()
        found.append(Token(kind, text, match.start(match.lastgroup)))
        place = match.end()
    return [*found, Token("end", "", len(expression))]
