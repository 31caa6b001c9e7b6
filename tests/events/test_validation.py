from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import CloudEvent, InvalidEvent, validate
from events.validation import checked
from tests.events import strategies
from tests.events.strategies import examples

EVENT = CloudEvent(id="1", source="/s", type="t")
BASE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@examples
@given(strategies.events(strategies.extensions))
def test_every_event_of_the_specification_is_valid(event: CloudEvent) -> None:
    validate(event)


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"])
@pytest.mark.parametrize(
    "value", ["", "a\n", "\ud800", 0, 1, False, True, 1.5, b"", b"a", [], ["a"], {}, {"a": "b"}]
)
def test_a_core_attribute_is_a_string_with_characters(name: str, value: Any) -> None:
    with pytest.raises(InvalidEvent, match=name) as caught:
        validate(replace(EVENT, **{name: value}))
    assert caught.value.attribute == name


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", [None, ..., ""])
def test_a_required_attribute_is_there(name: str, value: Any) -> None:
    attributes = {**BASE, name: value}
    if value is ...:
        del attributes[name]
    with pytest.raises(InvalidEvent, match=name) as caught:
        checked(attributes, None)
    assert caught.value.attribute == name


@pytest.mark.parametrize("version", ["", "0.3", "1", "1.0.2", "1.1", " 1.0", 1.0, 1, True])
def test_another_version_than_1_0_is_refused(version: Any) -> None:
    with pytest.raises(InvalidEvent, match=r'it must be "1\.0"'):
        checked({**BASE, "specversion": version}, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "a b"),
        ("time", "2018-04-05T18:31Z"),
        ("datacontenttype", "xyz"),
        ("dataschema", "/relative"),
    ],
)
def test_a_value_follows_its_attributes_grammar(name: str, value: Any) -> None:
    with pytest.raises(InvalidEvent, match=f"{name} '{value}' is not an? ") as caught:
        validate(replace(EVENT, **{name: value}))
    assert caught.value.attribute == name


@pytest.mark.parametrize(
    "name", ["", "Upper", "with_underscore", "with-dash", "dötted", "a.b", "data", "id", "time"]
)
def test_an_extension_has_a_name_of_its_own(name: str) -> None:
    event = replace(EVENT, extensions={name: "value"})
    with pytest.raises(InvalidEvent) as caught:
        validate(event)
    assert caught.value.attribute == name


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, None, [], {}, "\x00", "\uffff", "\ud800"])
def test_an_extensions_value_is_of_the_type_system(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="number"):
        EVENT.extended(number=value)


def test_an_extension_may_be_empty_or_longer_than_anyone_expects() -> None:
    validate(EVENT.extended(empty="", long="x" * 10_000))
    validate(replace(EVENT, extensions={"n" * 5_000: "v"}, source="/" + "s" * 5_000))


def test_data_that_is_declared_to_be_json_is_json() -> None:
    event = replace(EVENT, datacontenttype="application/json", data=b"{")
    with pytest.raises(InvalidEvent, match="data is not JSON") as caught:
        validate(event)
    assert caught.value.attribute == "data"


def test_data_is_bytes() -> None:
    with pytest.raises(InvalidEvent, match="data is a str; it must be bytes"):
        validate(replace(EVENT, data="text"))  # type: ignore[arg-type]


def test_a_message_shows_a_long_value_short_and_on_one_line() -> None:
    with pytest.raises(InvalidEvent) as caught:
        validate(replace(EVENT, time="never\n" * 1000))
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


good = strategies.events().map(lambda event: {**event.attributes()})
spoiled: st.SearchStrategy[tuple[str, Any]] = st.sampled_from(
    [
        ("id", ""),
        ("source", "a b"),
        ("source", ""),
        ("type", "\x01"),
        ("subject", ""),
        ("subject", "\ufffe"),
        ("time", "2018-02-30T00:00:00Z"),
        ("datacontenttype", "a"),
        ("dataschema", "a"),
        ("dataschema", ""),
        ("Name", "v"),
        ("", "v"),
        ("data", "v"),
        ("ext", "\x9f"),
        ("specversion", "1.1"),
        ("id", None),
        ("type", 1),
        ("time", 1),
        ("subject", 0),
        ("subject", []),
        ("datacontenttype", False),
        ("source", []),
        ("ext", None),
        ("ext", 1),
        ("ext", []),
    ]
)


def verdict(attributes: dict[str, Any]) -> CloudEvent | str | None:
    try:
        return checked(attributes, None)
    except InvalidEvent as error:
        return error.attribute


@examples
@given(good, st.lists(spoiled, max_size=2).map(dict))
def test_attributes_looked_at_together_and_one_by_one_get_the_same_verdict(
    attributes: dict[str, Any], spoils: dict[str, Any]
) -> None:
    attributes |= spoils
    together, one_by_one = verdict(attributes), verdict({**attributes, "anumber": 1})
    if isinstance(one_by_one, CloudEvent):
        kept = {name: value for name, value in one_by_one.extensions.items() if name != "anumber"}
        assert together == replace(one_by_one, extensions=kept)
    else:
        assert together == one_by_one
