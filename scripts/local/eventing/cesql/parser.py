"""From text to an expression: precedence climbing over the grammar of CloudEvents SQL 1.0.

Tightest first: NOT and minus before an operand; LIKE, IN; `*` `/` `%`; `+` `-`; comparisons; AND, OR and XOR,
which are alike and group to the right.
"""

from __future__ import annotations

from . import operators
from .functions import call
from .tokens import CesqlSyntaxError, Token, tokens
from .values import LARGEST, SMALLEST, Expression

_LEVELS = {
    **dict.fromkeys(("AND", "OR", "XOR"), 1),
    **dict.fromkeys(("=", "!=", "<>", "<", "<=", ">", ">="), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 4),
    **dict.fromkeys(("LIKE", "IN", "NOT"), 5),
}
_LOGIC, _TIGHTEST = 1, 6
_DEEPEST = 100  # brackets and prefixes within each other


def parse(text: str) -> Expression:
    """The expression that `text` spells; CesqlSyntaxError if it is none."""
    parser = _Parser(tokens(text))
    expression = parser.expression(0)
    parser.expect("end", "")
    return expression


class _Parser:
    def __init__(self, words: list[Token]) -> None:
        self._words = words
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._words[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _take_if(self, *texts: str) -> bool:
        if self._next.kind in ("symbol", "keyword") and self._next.text in texts:
            self._take()
            return True
        return False

    def expect(self, kind: str, text: str) -> None:
        """Take this word, which must be the next one."""
        token = self._take()
        if (token.kind, token.text) != (kind, text):
            wanted = f"{text!r}" if text else "an operator or the end"
            raise CesqlSyntaxError(f"{wanted} is missing before {token}")

    def expression(self, level: int) -> Expression:
        """An expression whose operators bind at least as tightly as `level`."""
        left = self._operand()
        while self._next.kind in ("symbol", "keyword") and _LEVELS.get(self._next.text, -1) >= level:
            left = self._continued(left, self._take())
        return left

    def _continued(self, left: Expression, operator: Token) -> Expression:
        if operator.text in ("LIKE", "IN", "NOT"):
            return self._tested(left, operator)
        level = _LEVELS[operator.text]
        right = self.expression(level if level == _LOGIC else level + 1)
        return operators.BINARY[operator.text](left, right)

    def _tested(self, left: Expression, operator: Token) -> Expression:
        if operator.text == "NOT":
            following = self._take()
            if following.text not in ("LIKE", "IN") or following.kind != "keyword":
                raise CesqlSyntaxError(f"LIKE or IN is missing before {following}")
            return operators.inverted(self._tested(left, following))
        if operator.text == "IN":
            choices = self._list()
            if not choices:
                raise CesqlSyntaxError(f"IN at character {operator.place + 1} has an empty list")
            return operators.among(left, choices)
        pattern = self._take()
        if pattern.kind != "string":
            raise CesqlSyntaxError(f"LIKE takes a string in quotes, not {pattern}")
        return operators.like(left, _unquoted(pattern.text))

    def _operand(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CesqlSyntaxError(f"more than {_DEEPEST} brackets and prefixes stand within each other")
        try:
            return self._begun(self._take())
        finally:
            self._depth -= 1

    def _begun(self, token: Token) -> Expression:
        match token.kind, token.text:
            case "keyword", "NOT":
                return operators.inverted(self.expression(_TIGHTEST))
            case "symbol", "-":
                return operators.negated(self.expression(_TIGHTEST))
            case "symbol", "(":
                inner = self.expression(0)
                self.expect("symbol", ")")
                return inner
            case "keyword", "EXISTS":
                name = self._take()
                if name.kind != "name":
                    raise CesqlSyntaxError(f"EXISTS takes an attribute's name, not {name}")
                return operators.exists(name.text.lower())
            case "keyword", "TRUE" | "FALSE":
                return operators.literal(token.text == "TRUE")
            case "string", text:
                return operators.literal(_unquoted(text))
            case "integer", text:
                return operators.literal(_integer(token))
            case "function" | "name", text:
                return self._named(token)
        raise CesqlSyntaxError(f"a value, a name or ( is missing before {token}")

    def _named(self, token: Token) -> Expression:
        is_call = self._next.kind == "symbol" and self._next.text == "("
        if not is_call and token.kind == "name":
            return operators.attribute(token.text.lower())
        if not is_call or any(character.isdigit() for character in token.text):
            raise CesqlSyntaxError(f"{token} is no name of an attribute or a function")
        try:
            return call(token.text.upper(), self._list())
        except LookupError as error:
            raise CesqlSyntaxError(str(error.args[0])) from None

    def _list(self) -> list[Expression]:
        self.expect("symbol", "(")
        if self._take_if(")"):
            return []
        found = [self.expression(0)]
        while self._take_if(","):
            found.append(self.expression(0))
        self.expect("symbol", ")")
        return found


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(f"\\{quote}", quote)


def _integer(token: Token) -> int:
    number = int(token.text)
    if not SMALLEST <= number <= LARGEST:
        raise CesqlSyntaxError(f"{token} doesn't fit into 32 bits with a sign")
    return number
