from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from events import InvalidEvent, fact
from events.fact import Count, Identifier, Timestamp


@dataclass(frozen=True)
class Part:
    text: str
    note: str | None = None


@dataclass(frozen=True)
class Everything:
    name: Identifier
    count: Count
    flag: bool
    at: Timestamp | None
    labels: Mapping[str, str]
    parts: tuple[Part, ...]
    content: str | tuple[Mapping[str, Any], ...] | None
    anything: Any
    part: Part | None = None


VALUE: dict[str, Any] = {
    "name": "n",
    "count": 0,
    "flag": True,
    "at": "2018-04-05T17:31:00Z",
    "labels": {"a": "b"},
    "parts": [{"text": "x"}, {"text": "y", "note": "z"}],
    "content": [{"type": "text", "deep": [1, {"a": None}]}],
    "anything": [1.5, None, {"a": []}],
}
FACT = Everything(
    name="n",
    count=0,
    flag=True,
    at="2018-04-05T17:31:00Z",
    labels={"a": "b"},
    parts=(Part("x"), Part("y", "z")),
    content=({"type": "text", "deep": [1, {"a": None}]},),
    anything=[1.5, None, {"a": []}],
)


def test_a_fact_is_read_from_json_and_written_as_it_was() -> None:
    assert fact.decode(Everything, VALUE) == FACT
    assert fact.encode(FACT) == VALUE


def test_null_is_written_where_a_member_is_required_and_left_out_where_it_isnt() -> None:
    written = fact.encode(fact.decode(Everything, {**VALUE, "at": None, "content": None, "part": None}))
    assert (written["at"], written["content"]) == (None, None)
    assert "part" not in written


def test_members_that_this_version_doesnt_know_are_ignored() -> None:
    newer = {**VALUE, "new": 1, "parts": [{"text": "x", "new": {}}, VALUE["parts"][1]]}
    assert fact.decode(Everything, newer) == FACT


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("name", "", "data.name is ''; it must be a non-empty string"),
        ("name", None, "data.name is None; it must be a string"),
        ("count", -1, "data.count is -1; it must be a whole number, 0 or more"),
        ("count", 1.0, "data.count is 1.0; it must be a whole number"),
        ("count", True, "data.count is True; it must be a whole number"),
        ("count", "1", "data.count is '1'; it must be a whole number"),
        ("flag", 1, "data.flag is 1; it must be true or false"),
        ("at", "lunchtime", "data.at is 'lunchtime'; it must be an RFC 3339 timestamp"),
        ("at", 5, "data.at is 5; it must be string or null"),
        ("labels", {"a": 1}, "data.labels.a is 1; it must be a string"),
        ("labels", [], "data.labels is []; it must be an object"),
        ("parts", {}, "data.parts is {}; it must be an array"),
        ("parts", [{"text": "x"}, {}], "data.parts[1].text is missing; Part needs it"),
        ("parts", ["x"], "data.parts[0] is 'x'; it must be an object"),
        ("content", ["x"], "data.content[0] is 'x'; it must be an object"),
        ("content", 1.5, "data.content is 1.5; it must be string or array or null"),
        ("part", [], "data.part is []; it must be object or null"),
    ],
)
def test_a_member_that_doesnt_fit_is_named_with_what_would(member: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        fact.decode(Everything, {**VALUE, member: value})
    assert str(caught.value) == message
    assert caught.value.attribute == message.partition(" ")[0]


@pytest.mark.parametrize("member", [name for name in VALUE if name != "part"])
def test_a_member_that_is_missing_is_named(member: str) -> None:
    value = {name: kept for name, kept in VALUE.items() if name != member}
    with pytest.raises(InvalidEvent, match=rf"^data\.{member} is missing; Everything needs it$"):
        fact.decode(Everything, value)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_facts_data_is_an_object(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="it must be an object"):
        fact.decode(Everything, value)
