from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import InvalidEvent, jsontext
from tests.events.strategies import examples, json_texts, json_values


@examples
@given(json_texts)
def test_json_is_read_as_the_standard_library_reads_it(text: bytes) -> None:
    assert jsontext.loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"[1,]",
        b"NaN",
        b"[Infinity]",
        b"01",
        b'"\xff"',
        b'"\\ud800"',
        b'"\n"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"1 2",
        b"1e999",
        b"[" * 100_000,
        b"9" * 5_000,
    ],
)
def test_what_isnt_json_in_utf_8_is_refused_with_the_place(text: bytes) -> None:
    """Promise 32: a depth of 100,000, NaN, huge integers, lone surrogates, a byte order mark."""
    with pytest.raises(InvalidEvent, match=r"^data is not JSON: .* \(line \d+, column \d+\)$") as caught:
        jsontext.loads(text, "data")
    assert caught.value.attribute == "data"


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":1, "b":2 ,"a" : 1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"b":{"a":[],"a":[]}}]',
        b'{"":1,"":1}',
        b'{"a":"x","b":"\\u0022\\u0022","a":"\\u0022"}',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b',"a":1}',
    ],
)
def test_a_name_that_stands_twice_is_refused(text: bytes) -> None:
    """Promise 32: duplicate keys."""
    with pytest.raises(InvalidEvent, match="twice in one JSON object"):
        jsontext.loads(text)


@pytest.mark.parametrize("text", [b'{"a":{"a":"a"}}', b'[{"a":1},{"a":2}]', b'{"a":"\\u0022","b":"\\""}'])
def test_a_name_may_stand_in_several_objects(text: bytes) -> None:
    assert jsontext.loads(text) == json.loads(text)


def test_what_is_nested_too_deeply_to_tell_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="nested too deeply"):
        jsontext.loads(b"[" * 1_020 + b"]" * 1_020)


objects = st.dictionaries(st.text(max_size=4), json_values, max_size=4)


@examples
@given(objects, st.sampled_from([None, 1, 3]), st.booleans())
def test_members_and_elements_give_each_value_as_it_was_sent(
    value: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    found = jsontext.members(text)
    assert {name: json.loads(part) for name, part in found.items()} == value
    assert all(part in text for part in found.values())
    text = json.dumps([*value.values()], indent=indent, ensure_ascii=ascii_only).encode()
    assert [json.loads(part) for part in jsontext.elements(text)] == [*value.values()]
