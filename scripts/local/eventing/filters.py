"""Trigger filters (`eventing.knative.dev/v1`, `spec.filter` and `spec.filters`) as functions of an event.

An empty dialect says nothing and lets everything through, as upstream's does: also inside `not`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.local.manifests.model import Filter, Trigger
from scripts.local.manifests.problems import Problem

from . import cesql

Attributes = Mapping[str, str]
Test = Callable[[Attributes], bool]
ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a Trigger wants. `types`: no event of another type is worth a `test`; None: any may be."""

    types: frozenset[str] | None
    test: Test | None

    def wants(self, attributes: Attributes) -> bool:
        """Whether an event with these attributes (canonical strings) is for this Trigger."""
        if self.types is not None and attributes["type"] not in self.types:
            return False
        return self.test is None or self.test(attributes)


def selection(trigger: Trigger) -> Selection:
    """A Trigger's filters, compiled once. They have passed `problems`."""
    if trigger.filters:
        tests = [test for test in map(_compile, trigger.filters) if test is not None]
        return Selection(_types_of_all(trigger.filters), _all(tests))
    attributes = trigger.filter_attributes or {}
    wanted = attributes.get("type")
    return Selection(frozenset((wanted,)) if wanted else None, _present_or_equal(attributes))


def problems(trigger: Trigger) -> list[Problem]:
    """What a cluster's webhook, or this runner, would refuse in a Trigger's filters."""
    found = []
    for name in trigger.filter_attributes or {}:
        found += _bad_name(name, "spec.filter.attributes", trigger)
    for element in trigger.filters or ():
        found += _problems(element, trigger)
    return found


def _problems(element: Filter, trigger: Trigger) -> list[Problem]:
    argument = element.argument
    match element.dialect:
        case "exact" | "prefix" | "suffix":
            found = []
            for name, value in argument.items():
                found += _bad_name(name, element.path, trigger, element)
                if not value:
                    text = f"the value of {name!r} is empty; write the text to compare with"
                    found.append(Problem(element.where, element.path, text))
            return found
        case "all" | "any":
            return [problem for inner in argument for problem in _problems(inner, trigger)]
        case "not":
            return _problems(argument, trigger)
        case "cesql":
            try:
                cesql.parse(argument or "TRUE")
            except cesql.CesqlSyntaxError as error:
                return [Problem(element.where, element.path, str(error))]
            return []
        case other:
            text = f"{other!r} is no filter dialect; supported: exact, prefix, suffix, all, any, not, cesql"
            return [Problem(element.where, element.path, text)]


def _bad_name(name: str, path: str, trigger: Trigger, element: Filter | None = None) -> list[Problem]:
    if ATTRIBUTE_NAME.fullmatch(name):
        return []
    text = f"{name!r} is no attribute's name: a lower-case letter, then lower-case letters and digits"
    return [Problem(element.where if element else trigger.where, path, text)]


def _compile(element: Filter) -> Test | None:
    argument = element.argument
    if not argument:
        return None
    match element.dialect:
        case "exact":
            return _equal(argument)
        case "prefix":
            return _affix(argument, str.startswith)
        case "suffix":
            return _affix(argument, str.endswith)
        case "all":
            return _all([test for test in map(_compile, argument) if test is not None])
        case "any":
            return _any(list(map(_compile, argument)))
        case "not":
            return _not(_compile(argument))
        case "cesql":
            return _true(cesql.parse(argument))
    raise ValueError(
        f"{element.where}: {element.path}: a filter of the dialect {element.dialect!r} wasn't refused"
    )


def _equal(wanted: Mapping[str, str]) -> Test:
    pairs = tuple(wanted.items())
    return lambda attributes: all(attributes.get(name) == value for name, value in pairs)


def _true(expression: cesql.Expression) -> Test:
    """Where the expression has no value, or one that is no Boolean, the event isn't wanted."""

    def test(attributes: Attributes) -> bool:
        try:
            return expression(attributes) is True
        except cesql.CesqlError:
            return False

    return test


def _present_or_equal(wanted: Mapping[str, str]) -> Test | None:
    pairs = tuple((name, value) for name, value in wanted.items() if value)
    present = tuple(name for name, value in wanted.items() if not value)
    if not wanted:
        return None
    return lambda attributes: (
        all(attributes.get(name) == value for name, value in pairs) and all(map(attributes.get, present))
    )


def _affix(wanted: Mapping[str, str], has: Callable[[str, str], bool]) -> Test:
    pairs = tuple(wanted.items())
    return lambda attributes: all(name in attributes and has(attributes[name], text) for name, text in pairs)


def _all(tests: Sequence[Test]) -> Test | None:
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda attributes: all(test(attributes) for test in tests)


def _any(tests: Sequence[Test | None]) -> Test | None:
    real = [test for test in tests if test is not None]
    if len(real) < len(tests):
        return None  # one of them says nothing, so anything passes
    return lambda attributes: any(test(attributes) for test in real)


def _not(test: Test | None) -> Test | None:
    if test is None:
        return None
    return lambda attributes: not test(attributes)


def _types_of_all(elements: Sequence[Filter]) -> frozenset[str] | None:
    """The types that pass all elements: those that each of them names, if any names some."""
    named = [types for types in map(_types, elements) if types is not None]
    return frozenset.intersection(*named) if named else None


def _types(element: Filter) -> frozenset[str] | None:
    """The only types that can pass, where the dialect tells; None where any can."""
    argument = element.argument
    match element.dialect:
        case "exact" if "type" in argument:
            return frozenset((argument["type"],))
        case "all" if argument:
            return _types_of_all(argument)
        case "any" if argument:
            each = list(map(_types, argument))
            return (
                None if None in each else frozenset().union(*(types for types in each if types is not None))
            )
    return None
