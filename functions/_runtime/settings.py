"""Settings: one frozen dataclass a function, read once from the environment.

@dataclass(frozen=True, slots=True)
class Settings:
    store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)
    window_tokens: int = variable("MODEL_WINDOW_TOKENS", default=8192, parse=at_least(1))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar, cast, get_type_hints

S = TypeVar("S")
T = TypeVar("T", int, float)

_VARIABLE = "variable"
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class InvalidSettings(Exception):
    """The environment can't be served with; one line a variable, all of them together."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def variable(
    name: str,
    *,
    default: Any = MISSING,
    parse: Callable[[str], Any] | None = None,
    secret: bool = False,
) -> Any:
    """A field that is read from the environment variable `name`.

    Without `default` the variable must be there. `parse` makes the value of the text and raises ValueError
    with what would be right; without it the field's type (str, int, float, bool) decides. A `secret` is
    shown neither in an error nor in the settings' repr. An empty variable counts as absent.
    """
    # Keyword only, so that a needed one may stand behind one with a default.
    return field(default=default, repr=not secret, kw_only=True, metadata={_VARIABLE: (name, parse, secret)})


def read(cls: type[S], environ: Mapping[str, str]) -> S:
    """The settings that `environ` holds.

    Raises:
        InvalidSettings: some variables are missing or bad; it names each.
    """
    types = get_type_hints(cls)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for each in fields(cast("Any", cls)):
        if _VARIABLE not in each.metadata:
            continue
        try:
            values[each.name] = _value(each, types[each.name], environ)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise InvalidSettings(problems)
    return cls(**values)


def _value(each: Field[Any], kind: type, environ: Mapping[str, str]) -> Any:
    name, parse, secret = each.metadata[_VARIABLE]
    text = environ.get(name, "")
    if not text:
        if each.default is MISSING:
            raise ValueError(f"{name} is not set; it is needed")
        return each.default
    try:
        return (parse or _PARSERS[kind])(text)
    except ValueError as error:
        shown = "wrong (its value isn't shown)" if secret else ascii(text[:100])
        raise ValueError(f"{name} is {shown}: {error}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("should be true or false")
    return _BOOLEANS[text.lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("should be a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("should be a number") from None


_PARSERS: dict[type, Callable[[str], Any]] = {str: str, int: _integer, float: _number, bool: _boolean}


def at_least(least: T) -> Callable[[str], T]:
    """A parser of numbers of `least`'s type that aren't below it."""
    number = _integer if isinstance(least, int) else _number

    def parse(text: str) -> T:
        value = number(text)
        if not value >= least:  # also refuses NaN
            raise ValueError(f"should be at least {least}")
        return value

    return parse


def http_url(text: str) -> str:
    """A parser of `http://` and `https://` addresses; a trailing slash is taken off."""
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest.partition("/")[0]:
        raise ValueError("should be an address such as http://chat.hadal.svc.cluster.local")
    return text.rstrip("/")
