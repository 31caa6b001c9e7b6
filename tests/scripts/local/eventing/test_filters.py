from __future__ import annotations

from typing import Any

import pytest

from scripts.local.eventing.filters import problems, selection
from scripts.local.manifests.model import Destination, Trigger

from .harness import HERE, filters, trigger

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/hadal/chat",
    "type": "dev.hadal.a.v1",
    "tenant": "acme",
    "empty": "",
}
NOWHERE = Destination(HERE, uri="http://127.0.0.1:1/")


def with_attributes(**attributes: str) -> Trigger:
    return trigger("t", NOWHERE, filter_attributes=attributes)


def with_filters(*described: dict[str, Any]) -> Trigger:
    return trigger("t", NOWHERE, filters=filters(*described))


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({}, True),
        ({"type": "dev.hadal.a.v1"}, True),
        ({"type": "dev.hadal.a"}, False),
        ({"type": "dev.hadal.a.v1", "tenant": "acme"}, True),
        ({"type": "dev.hadal.a.v1", "tenant": "other"}, False),
        ({"tenant": ""}, True),
        ({"missing": ""}, False),
        ({"empty": ""}, False),
        ({"type": ""}, True),
    ],
)
def test_filter_attributes_match_exactly_and_an_empty_one_means_present_and_not_empty(
    attributes: dict[str, str], wanted: bool
) -> None:
    assert selection(with_attributes(**attributes)).wants(EVENT) is wanted


@pytest.mark.parametrize(
    ("described", "wanted"),
    [
        ({"exact": {"type": "dev.hadal.a.v1"}}, True),
        ({"exact": {"type": "dev.hadal.a.v1", "tenant": "other"}}, False),
        ({"exact": {"missing": "x"}}, False),
        ({"prefix": {"type": "dev.hadal."}}, True),
        ({"prefix": {"type": "dev.hadal.", "source": "/other"}}, False),
        ({"prefix": {"missing": "x"}}, False),
        ({"suffix": {"type": ".v1"}}, True),
        ({"suffix": {"type": ".v2"}}, False),
        ({"suffix": {"missing": "x"}}, False),
        ({"all": [{"prefix": {"type": "dev."}}, {"suffix": {"type": ".v1"}}]}, True),
        ({"all": [{"prefix": {"type": "dev."}}, {"suffix": {"type": ".v2"}}]}, False),
        ({"any": [{"exact": {"type": "other"}}, {"suffix": {"type": ".v1"}}]}, True),
        ({"any": [{"exact": {"type": "other"}}, {"exact": {"type": "another"}}]}, False),
        ({"not": {"exact": {"type": "other"}}}, True),
        ({"not": {"exact": {"type": "dev.hadal.a.v1"}}}, False),
        ({"not": {"any": [{"exact": {"tenant": "x"}}, {"not": {"prefix": {"tenant": "ac"}}}]}}, True),
        ({"all": [{"exact": {"type": "dev.hadal.a.v1"}}, {"exact": {"type": "other"}}]}, False),
        ({"any": [{"exact": {"type": "other"}}, {"exact": {"tenant": "acme"}}]}, True),
        ({"exact": {}}, True),
        ({"not": {"exact": {}}}, True),
        ({"any": [{"exact": {}}, {"exact": {"type": "other"}}]}, True),
    ],
)
def test_each_dialect_decides_as_upstream_does(described: dict[str, Any], wanted: bool) -> None:
    assert selection(with_filters(described)).wants(EVENT) is wanted


def test_several_filters_are_anded() -> None:
    both = with_filters({"prefix": {"type": "dev."}}, {"exact": {"tenant": "acme"}})
    one = with_filters({"prefix": {"type": "dev."}}, {"exact": {"tenant": "other"}})
    assert selection(both).wants(EVENT)
    assert not selection(one).wants(EVENT)


def test_filters_take_the_place_of_filter_attributes() -> None:
    both = trigger(
        "t",
        NOWHERE,
        filter_attributes={"type": "other"},
        filters=filters({"exact": {"type": "dev.hadal.a.v1"}}),
    )
    assert selection(both).wants(EVENT)


@pytest.mark.parametrize(
    ("described", "types"),
    [
        ({"exact": {"type": "a"}}, {"a"}),
        ({"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}, {"a", "b"}),
        ({"any": [{"exact": {"type": "a"}}, {"prefix": {"type": "b"}}]}, None),
        ({"all": [{"exact": {"type": "a"}}, {"prefix": {"source": "/"}}]}, {"a"}),
        ({"not": {"exact": {"type": "a"}}}, None),
    ],
)
def test_the_exact_types_of_a_trigger_are_known_without_trying_its_filters(
    described: dict[str, Any], types: set[str] | None
) -> None:
    assert selection(with_filters(described)).types == types


@pytest.mark.parametrize(
    ("described", "text"),
    [
        ({"cesql": "type = "}, "a value, a name or ( is missing before the end"),
        ({"any": [{"not": {"cesql": "TRUE 1"}}]}, "missing before '1' at character 6"),
        ({"glob": {"type": "*"}}, "'glob' is no filter dialect"),
        ({"exact": {"Type": "a"}}, "'Type' is no attribute's name"),
        ({"prefix": {"type": ""}}, "the value of 'type' is empty"),
    ],
)
def test_a_filter_that_cannot_be_honoured_is_refused_with_its_place(
    described: dict[str, Any], text: str
) -> None:
    (problem,) = problems(with_filters(described))
    assert text in problem.text
    assert str(problem).startswith("eventing/test.yaml:7: spec.filters[0].")


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("type LIKE 'dev.hadal.%' AND tenant IN ('acme', 'other')", True),
        ("tenant = 'other'", False),
        ("EXISTS missing OR source = '/hadal/chat'", True),
        ("missing = 'x'", False),
        ("NOT (missing = 'x')", False),
        ("1 / 0 = 1", False),
        ("tenant", False),
        ("", True),
    ],
)
def test_an_expression_that_has_no_value_lets_nothing_through(expression: str, wanted: bool) -> None:
    described = with_filters({"cesql": expression})
    assert problems(described) == []
    assert selection(described).wants(EVENT) is wanted


def test_a_bad_name_in_filter_attributes_is_refused() -> None:
    (problem,) = problems(with_attributes(**{"a-b": "c"}))
    assert str(problem).startswith(
        "eventing/test.yaml:7: spec.filter.attributes: 'a-b' is no attribute's name"
    )
