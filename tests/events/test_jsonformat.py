from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import CloudEvent, InvalidEvent, jsonformat
from tests.events import strategies
from tests.events.strategies import examples, meaning

MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
EVENT = CloudEvent(id="1", source="/s", type="t")


def read(**members: Any) -> CloudEvent:
    return jsonformat.from_json(json.dumps({**MINIMAL, **members}).encode())


def refused(text: bytes) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        jsonformat.from_json(text)
    return caught.value


@examples
@given(strategies.events())
def test_an_event_comes_back_as_it_was(event: CloudEvent) -> None:
    text = jsonformat.to_json(event)
    assert meaning(jsonformat.from_json(text)) == meaning(event)
    assert meaning(jsonformat.from_dict(json.loads(text))) == meaning(event)


@examples
@given(strategies.events(), st.sampled_from([None, 2]), st.booleans())
def test_an_event_means_the_same_in_any_spelling(
    event: CloudEvent, indent: int | None, ascii_only: bool
) -> None:
    document = json.loads(jsonformat.to_json(event))
    shuffled = dict(sorted(document.items(), reverse=True))
    respelt = jsonformat.from_json(json.dumps(shuffled, indent=indent, ensure_ascii=ascii_only).encode())
    assert meaning(respelt) == meaning(event)


@examples
@given(st.lists(strategies.events(), max_size=3), st.sampled_from([None, 1]))
def test_a_batch_comes_back_as_it_was(events: list[CloudEvent], indent: int | None) -> None:
    text = jsonformat.to_json_batch(events)
    respelt = json.dumps(json.loads(text), indent=indent).encode()
    for batch in (text, respelt):
        assert list(map(meaning, jsonformat.from_json_batch(batch))) == list(map(meaning, events))


def test_integers_and_booleans_stay_what_they_are_and_bytes_become_base64() -> None:
    event = replace(EVENT, extensions={"whole": -(2**31), "yes": True, "bytes": b"Ma"})
    assert json.loads(jsonformat.to_json(event)) == {
        **MINIMAL,
        "whole": -(2**31),
        "yes": True,
        "bytes": "TWE=",
    }
    assert read(whole=-(2**31), yes=True, bytes="TWE=").extensions == {
        "whole": -(2**31),
        "yes": True,
        "bytes": "TWE=",
    }


def test_null_unsets_an_optional_attribute() -> None:
    assert (
        read(subject=None, time=None, datacontenttype=None, dataschema=None, ext=None, data_base64=None)
        == EVENT
    )


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_null_leaves_a_required_attribute_missing(name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"{name} is missing"):
        read(**{name: None})


@pytest.mark.parametrize("name", ["id", "subject", "time", "datacontenttype"])
@pytest.mark.parametrize("value", [25, True, 1.5, {"a": "b"}, ["a"], ""])
def test_a_core_attribute_is_a_string(name: str, value: Any) -> None:
    with pytest.raises(InvalidEvent, match=name) as caught:
        read(**{name: value})
    assert caught.value.attribute == name


@pytest.mark.parametrize("value", [1.5, 1e3, 2**31, -(2**31) - 1, [], {}, [1]])
def test_an_extension_is_a_string_a_boolean_or_a_32_bit_integer(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="ext"):
        read(ext=value)


@pytest.mark.parametrize("name", ["MyExtension", "my.extension", "my_extension", "", "datä"])
@pytest.mark.parametrize("value", ["bad", None, 1.5])
def test_a_member_that_cant_be_an_attribute_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidEvent, match="can't name an attribute"):
        read(**{name: value})


def test_data_without_a_media_type_is_json_and_says_so() -> None:
    """JSON format 3.1.2: what is implied here has to be explicit in any other mode."""
    event = read(data="I'm just a string")
    assert (event.datacontenttype, event.data) == ("application/json", b'"I\'m just a string"')


def test_null_data_is_a_payload_and_absent_data_is_none() -> None:
    assert read(data=None).data == b"null"
    assert read().data is None
    assert read(data=None).datacontenttype == "application/json"
    assert read().datacontenttype is None


def test_a_string_of_json_isnt_decoded_again() -> None:
    assert read(datacontenttype="application/json", data='{"a":1}').json() == '{"a":1}'


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/plain", "é".encode()),
        ("text/plain; charset=UTF-8", "é".encode()),
        ('application/xml; charset="iso-8859-1"', b"\xe9"),
    ],
)
def test_text_is_encoded_as_its_media_type_says(content_type: str, expected: bytes) -> None:
    event = read(datacontenttype=content_type, data="é")
    assert event.data == expected
    assert json.loads(jsonformat.to_json(event))["data"] == "é"


@pytest.mark.parametrize("content_type", ["text/plain; charset=us-ascii", "text/plain; charset=utf-7"])
def test_text_that_its_charset_cant_hold_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidEvent, match="send it as Base64"):
        read(datacontenttype=content_type, data="é")


@pytest.mark.parametrize("data", [1, True, None, {}, []])
def test_data_that_is_neither_json_nor_text_is_refused(data: Any) -> None:
    with pytest.raises(InvalidEvent, match="is not JSON; send it as a string") as caught:
        read(datacontenttype="text/plain", data=data)
    assert caught.value.attribute == "data"


def test_base64_becomes_bytes() -> None:
    event = read(datacontenttype="application/octet-stream", data_base64="AAH/")
    assert event.data == b"\x00\x01\xff"
    assert json.loads(jsonformat.to_json(event))["data_base64"] == "AAH/"


@pytest.mark.parametrize(
    "encoded", ["A", "AA", "AAA", "AA==A", "AA= =", "AAH_", "é", "AAH/\n", "=", 5, {}, True]
)
def test_what_isnt_base64_is_refused(encoded: Any) -> None:
    with pytest.raises(InvalidEvent, match="is not padded Base64") as caught:
        read(data_base64=encoded)
    assert caught.value.attribute == "data_base64"


def test_base64_that_promises_json_holds_json() -> None:
    assert read(datacontenttype="application/json", data_base64="e30=").json() == {}
    with pytest.raises(InvalidEvent, match="data is not JSON"):
        read(datacontenttype="application/json", data_base64="AAH/")


@pytest.mark.parametrize("data", ["text", None, {}])
def test_data_and_base64_together_are_refused(data: Any) -> None:
    with pytest.raises(InvalidEvent, match="data and data_base64 are both there"):
        read(data=data, data_base64="e30=")


@pytest.mark.parametrize(
    "tail",
    [b',"id":"1"}', b',"id":"2"}', b', "\\u0069d": "2"}', b',"data":1,"data":1}', b',"e":"\\u0022","e":""}'],
)
def test_an_attribute_that_stands_twice_is_refused(tail: bytes) -> None:
    assert "twice in one JSON object" in str(refused(json.dumps(MINIMAL).encode()[:-1] + tail))


COMPACT = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"'


@pytest.mark.parametrize(
    "tail",
    [
        b',"id":"1","data":1}',
        b',"id":"2","data":1}',
        b',"ext":"a","ext":"b","data":1}',
        b',"ext":"a","ext":"a","data":1}',
        b',"ext":1,"ext":"a","data":1}',
        b',"data":"x","data":1}',
        b',"data":"x","ext":"a","data":1}',
        b',"data":1,"data":1}',
        b',"data":1,"id":"1"}',
        b',"subject":"s","data":1,"subject":"s"}',
        b',"time":"2026-01-15T09:29:00Z","time":"2026-01-15T09:29:00Z","data":{}}',
    ],
)
def test_an_attribute_that_stands_twice_is_refused_in_a_text_spelt_as_ours(tail: bytes) -> None:
    assert "twice in one JSON object" in str(refused(COMPACT + tail))


@pytest.mark.parametrize(
    ("tail", "attribute"),
    [
        (b',"subject":"","data":1}', "subject"),
        (b',"subject":"a\x7f","data":1}', "subject"),
        (b',"subject":"a\\n","data":1}', "subject"),
        (b',"subject":"a\xc2\x80","data":1}', "subject"),
        (b',"time":"2026-02-29T09:29:00Z","data":1}', "time"),
        (b',"time":"2026-01-15","data":1}', "time"),
        (b',"datacontenttype":"json","data":"a"}', "datacontenttype"),
        (b',"datacontenttype":"text/plain","data":1}', "data"),
        (b',"dataschema":"/relative","data":1}', "dataschema"),
        (b',"Ext":"a","data":1}', "Ext"),
        (b',"data_base64":"e30=","data":1}', "data"),
        (b',"data":1}}', None),
        (b',"data":}', None),
        (b',"data":1,}', None),
        (b',"data":12', None),
        (b',"data":1}x}', None),
        (b',"data":"\xff"}', None),
        (b',,"data":1}', None),
    ],
)
def test_what_breaks_the_specification_is_refused_in_a_text_spelt_as_ours(
    tail: bytes, attribute: str | None
) -> None:
    assert jsonformat.from_json(COMPACT + b',"data":1}').data == b"1"
    assert refused(COMPACT + tail).attribute == attribute


@pytest.mark.parametrize(
    "tail",
    [b',"subject":"a b%","ext":"","data":"a"}', b',"data":{"data":[]}}', b',"data":1 }', b',"data":[1]}'],
)
def test_a_text_spelt_as_ours_means_what_any_other_spelling_does(tail: bytes) -> None:
    text = COMPACT + tail
    respelt = json.dumps(json.loads(text), indent=1).encode()
    assert meaning(jsonformat.from_json(text)) == meaning(jsonformat.from_json(respelt))


@pytest.mark.parametrize(
    "data",
    [
        b"123456789012345678901234567890",
        b"[0.1234567890123456789]",
        b"1.0",
        b"1E2",
        b'{ "a" : [ 1 ,2 ] }',
        b'{"a":1,"a":2}',
        b"[" * 400 + b"]" * 400,
        b'"\\u0022\\u00e9"',
    ],
)
@pytest.mark.parametrize("rest", [b"}", b' , "subject" : "sub" }\n'])
def test_data_keeps_its_meaning_whatever_stands_around_it(data: bytes, rest: bytes) -> None:
    text = json.dumps(MINIMAL).encode()[:-1] + b',"data":' + data + rest
    event = jsonformat.from_json(text)
    assert event.data is not None
    if b'"a":1,"a":2' in data or len(data) > 30 or b"0123456789" in data:
        assert event.data == data
    assert json.loads(event.data) == json.loads(data)
    assert json.loads(jsonformat.to_json(event))["data"] == json.loads(data)


@pytest.mark.parametrize(
    ("text", "kind"), [(b"[]", "an array"), (b'"a"', "a string"), (b"1", "a number"), (b"null", "null")]
)
def test_an_event_is_an_object(text: bytes, kind: str) -> None:
    assert str(refused(text)) == f"an event is a JSON object; this is {kind}"


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"id":NaN}', b'{"id":"\\ud800"}', b'{"id":"\xff"}', b"\xef\xbb\xbf{}"]
)
def test_what_isnt_json_is_refused(text: bytes) -> None:
    assert str(refused(text)).startswith("the body is not JSON")


def test_a_batch_may_be_empty() -> None:
    assert jsonformat.from_json_batch(b"[]") == jsonformat.from_json_batch(b" [ ] ") == []


@pytest.mark.parametrize("spelling", [{}, {"indent": 1}])
@pytest.mark.parametrize("bad", ["not an object", {**MINIMAL, "specversion": "0.9"}, {"id": "1"}, []])
def test_a_bad_event_in_a_batch_is_named_by_its_place(bad: Any, spelling: dict[str, int]) -> None:
    text = json.dumps([MINIMAL, bad], **spelling).encode()  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match=r"^event 1 of the batch: "):
        jsonformat.from_json_batch(text)


def test_a_batch_is_an_array() -> None:
    with pytest.raises(InvalidEvent, match="a batch is a JSON array of events; this is an object"):
        jsonformat.from_json_batch(b"{}")
