from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import CloudEvent, EventTooLarge, InvalidEvent, http
from tests.events import strategies
from tests.events.strategies import examples, meaning

Headers = list[tuple[bytes, bytes]]
REQUIRED = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
EVENT = CloudEvent(id="1", source="/s", type="t")
STRUCTURED = [(b"content-type", b"application/cloudevents+json")]
BATCHED = [(b"content-type", b"application/cloudevents-batch+json")]
MINIMAL = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'


def headers(**values: str | bytes) -> Headers:
    """The required headers and these, whose underscores are hyphens."""
    named = REQUIRED | {name.replace("_", "-"): value for name, value in values.items()}
    return [
        (name.encode(), value.encode() if isinstance(value, str) else value) for name, value in named.items()
    ]


def refused(pairs: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        http.decode(pairs, body)
    return caught.value


def as_servers_give_them(pairs: Headers) -> Headers:
    """Among other headers, names in any case."""
    other = [
        (b"Host", b"example.com"),
        (b"User-Agent", b"test"),
        (b"X-Ce-Id", b"no"),
        (b"Content-Length", b"5"),
    ]
    return [*other, *((name.title(), value) for name, value in pairs)]


@examples
@given(strategies.events())
def test_an_event_comes_back_as_it_was_in_binary_mode(event: CloudEvent) -> None:
    pairs, body = http.to_binary(event)
    assert http.decode_one(pairs, body) == event
    assert http.decode(as_servers_give_them(pairs), body) == [event]


@examples
@given(strategies.events())
def test_binary_headers_are_printable_ascii_without_space_and_quotes(event: CloudEvent) -> None:
    """HTTP binding 3.1.3.2."""
    pairs, _ = http.to_binary(event)
    for name, value in pairs:
        assert name == name.lower()
        if name != b"content-type":
            assert all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in value)


@examples
@given(strategies.events())
def test_an_event_comes_back_as_it_was_in_structured_mode(event: CloudEvent) -> None:
    pairs, body = http.to_structured(event)
    assert meaning(http.decode_one(as_servers_give_them(pairs), body)) == meaning(event)


@examples
@given(st.lists(strategies.events(), max_size=3))
def test_events_come_back_as_they_were_in_batched_mode(events: list[CloudEvent]) -> None:
    pairs, body = http.to_batch(events)
    assert list(map(meaning, http.decode(pairs, body))) == list(map(meaning, events))


@examples
@given(strategies.events(strategies.extensions))
def test_typed_extensions_become_their_canonical_strings_in_binary_mode(event: CloudEvent) -> None:
    decoded = http.decode_one(*http.to_binary(event))
    assert decoded.attributes() == event.attributes()


def test_the_specifications_example_of_percent_encoding() -> None:
    """HTTP binding 3.1.3.2: Euro, the sign and a face."""
    event = replace(EVENT, subject="Euro € 😀")
    pairs, _ = http.to_binary(event)
    assert (b"ce-subject", b"Euro%20%E2%82%AC%20%F0%9F%98%80") in pairs


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("plain", "plain"),
        ("%65%c3%A9", "eé"),
        ("100%25", "100%"),
        ("%2525", "%25"),
        ("with space", "with space"),
        (" \tedges\t ", "edges"),
        ('"quoted"', "quoted"),
        ('"a\\"b\\\\c"', 'a"b\\c'),
        ('"%22"', '"'),
        ('in "the" middle', 'in "the" middle'),
        ("a+b", "a+b"),
        ("(comment)", "(comment)"),
    ],
)
def test_a_header_is_unquoted_and_then_percent_decoded_once(sent: str, value: str) -> None:
    assert http.decode_one(headers(ce_subject=sent), b"").subject == value


@pytest.mark.parametrize(
    "sent",
    [
        b"%",
        b"%4",
        b"100%",
        b"%zz",
        b"%C0%A0",  # an overlong space
        b"%ED%A0%80",  # a surrogate
        b"%FF",
        b"%0A",
        b"%00",
        b"%EF%BF%BE",  # a noncharacter
        b'"open',
        b'"open\\"',
        b'"a"b"',
        b"\xc3\xa9",
        b"\xe9",
        b"a\x00b",
        b"a\tb",
        b"",
        b'""',
    ],
)
def test_a_header_that_no_string_was_encoded_to_is_refused(sent: bytes) -> None:
    assert refused(headers(ce_subject=sent)).attribute == "subject"


def test_an_extension_may_be_an_empty_header() -> None:
    assert http.decode_one(headers(ce_ext=""), b"").extensions == {"ext": ""}


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_source", "ce_type"])
def test_a_required_header_is_there_and_not_empty(name: str) -> None:
    attribute = name.removeprefix("ce_")
    assert refused(headers(**{name: ""})).attribute == attribute
    without = [pair for pair in headers() if pair[0] != name.replace("_", "-").encode()]
    assert refused(without).attribute == attribute


@pytest.mark.parametrize("name", ["ce-my-ext", "ce-my_ext", "ce-", "ce-data", "ce-\xe9", "ce-content-type"])
def test_a_header_that_cant_be_an_attribute_is_refused(name: str) -> None:
    refused([*headers(), (name.encode("latin-1"), b"x")])


def test_content_type_is_datacontenttype_and_no_other_header_is() -> None:
    pairs = headers(content_type="application/json; charset=utf-8")
    assert http.decode_one(pairs, b"{}").datacontenttype == "application/json; charset=utf-8"
    assert "Content-Type's" in str(refused(headers(ce_datacontenttype="text/plain")))


@pytest.mark.parametrize("content_type", ["xyz", "", "a/b; c", "text/plain\xe9"])
def test_a_content_type_that_is_no_media_type_is_refused(content_type: str) -> None:
    assert refused(headers(content_type=content_type.encode("latin-1"))).attribute == "datacontenttype"


@pytest.mark.parametrize("twice", [b"ce-id", b"CE-ID", b"Ce-Source"])
def test_a_header_that_stands_twice_is_refused(twice: bytes) -> None:
    assert "stands twice" in str(refused([*headers(), (twice, b"1")]))


def test_two_content_types_are_refused() -> None:
    assert "stands twice" in str(refused([*STRUCTURED, *STRUCTURED], MINIMAL))


def test_an_empty_body_is_no_data() -> None:
    assert http.decode_one(headers(content_type="application/json"), b"").data is None
    assert http.to_binary(EVENT)[1] == b""


def test_a_body_that_promises_json_is_json() -> None:
    """JSON format 3.2: what can't be decoded as its media type says makes an invalid event."""
    assert refused(headers(content_type="application/json"), b"I'm just a string").attribute == "data"
    assert (
        http.decode_one(headers(content_type="text/plain"), b"I'm just a string").data == b"I'm just a string"
    )


def test_bytes_of_no_declared_type_are_taken_as_they_are() -> None:
    event = http.decode_one(headers(), b"\x00\xff")
    assert (event.datacontenttype, event.data) == (None, b"\x00\xff")


def test_json_without_a_media_type_has_one_in_binary_mode() -> None:
    event = http.decode_one(STRUCTURED, MINIMAL[:-1] + b',"data":{"a":1}}')
    pairs, body = http.to_binary(event)
    assert (b"content-type", b"application/json") in pairs
    assert body == b'{"a":1}'


def test_a_line_break_that_wasnt_checked_cant_start_a_header() -> None:
    pairs, _ = http.to_binary(replace(EVENT, subject="a\r\nX-Admin: yes", id="a b"))
    assert dict(pairs)[b"ce-subject"] == b"a%0D%0AX-Admin:%20yes"
    assert dict(pairs)[b"ce-id"] == b"a%20b"


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents+json",
        b"application/cloudevents+json; charset=utf-8",
        b'application/cloudevents+json;charset="UTF-8"',
        b"Application/CloudEvents+JSON ; charset=US-ASCII",
    ],
)
def test_structured_mode_is_known_by_its_content_type(content_type: bytes) -> None:
    assert http.decode_one([(b"Content-Type", content_type)], MINIMAL) == EVENT


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents",
        b"application/cloudevents+avro",
        b"application/cloudevents+xml",
        b"application/cloudevents-batch",
        b"application/cloudevents-batch+avro",
        b"application/cloudevents+json; charset=utf-16",
        b"application/cloudevents+json; charset",
        b"application/cloudevents+jsonl",
    ],
)
def test_an_event_format_that_isnt_json_is_refused(content_type: bytes) -> None:
    assert "Content-Type" in str(refused([(b"content-type", content_type)], MINIMAL))


def test_attributes_in_headers_of_structured_mode_add_nothing() -> None:
    """HTTP binding 3.2.3: they may be there, and the payload has all."""
    pairs = [*STRUCTURED, (b"ce-id", b"other"), (b"ce-ext", b"%zz")]
    assert http.decode_one(pairs, MINIMAL) == EVENT


def test_a_request_without_an_event_says_so() -> None:
    for pairs in ([], [(b"content-type", b"application/json")], [(b"accept", b"*/*")]):
        assert str(refused(pairs, b"{}")).startswith("this is no CloudEvent")


def test_a_batch_may_be_empty_and_one_event_isnt_a_batch() -> None:
    assert http.decode(BATCHED, b"[]") == []
    assert http.decode(BATCHED, b"[%b,%b]" % (MINIMAL, MINIMAL)) == [EVENT, EVENT]
    refused(BATCHED, MINIMAL)
    refused(STRUCTURED, b"[%b]" % MINIMAL)


def test_where_one_event_is_wanted_a_batch_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="a batch is not taken here; send one event"):
        http.decode_one(BATCHED, b"[%b]" % MINIMAL)


@pytest.mark.parametrize("decode", [http.decode, http.decode_one])
@pytest.mark.parametrize("pairs", [headers(), STRUCTURED])
def test_a_body_over_the_limit_is_refused_unread(decode: Callable[..., object], pairs: Headers) -> None:
    """Promise 44: a 5 MB event."""
    with pytest.raises(EventTooLarge, match="the body has 5000000 bytes; at most 1048576 are taken"):
        decode(pairs, b"x" * 5_000_000)
    with pytest.raises(EventTooLarge, match="at most 10 are taken"):
        decode(pairs, b"x" * 11, max_bytes=10)


@examples
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6), st.binary(max_size=40)
)
def test_no_request_gets_anything_but_events_or_a_refusal(pairs: Headers, body: bytes) -> None:
    """Promise 38."""
    for prefix in ([], STRUCTURED, BATCHED, headers()):
        try:
            http.decode([*prefix, *((b"ce-" + name, value) for name, value in pairs)], body)
        except InvalidEvent as error:
            assert str(error)


@examples
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=3),
    st.data(),
)
def test_no_json_value_in_any_place_gets_anything_but_an_event_or_a_refusal(
    value: object, data: st.DataObject
) -> None:
    """Promise 38."""
    names = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"]
    name = data.draw(st.sampled_from([*names, "data", "data_base64", "ext", "Ext", ""]))
    document = json.loads(MINIMAL) | {name: value}
    try:
        event = http.decode_one(STRUCTURED, json.dumps(document).encode())
    except InvalidEvent as error:
        assert str(error)
    else:
        assert meaning(http.decode_one(*http.to_structured(event))) == meaning(event)
