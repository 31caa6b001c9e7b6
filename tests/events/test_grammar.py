from __future__ import annotations

import pytest

from events import grammar


@pytest.mark.parametrize(
    "text",
    [
        "2018-04-05T17:31:00Z",
        "2018-04-05t17:31:00z",
        "2018-04-05T17:31:00.000000000Z",
        "2018-04-05T18:31:00+01:00",
        "2018-04-05T18:31:00-00:00",
        "2018-04-05T18:31:00+23:59",
        "0000-01-01T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "2000-02-29T00:00:00Z",
        "2024-02-29T23:59:59Z",
        "2016-12-31T23:59:60Z",
        "2016-12-31T15:59:60.5-08:00",
        "2017-01-01T00:59:60+01:00",
        "1990-06-30T23:59:60Z",
    ],
)
def test_a_timestamp_of_rfc_3339_is_one(text: str) -> None:
    assert grammar.is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lunchtime",
        "2018-04-05",
        "17:31:00Z",
        "2018-04-05T17:31Z",
        "2018-04-05T17:31:00",
        "2018-04-05 17:31:00Z",
        "2018-04-05T17:31:00X",
        "2018-04-05T17:31:00+05",
        "2018-04-05T17:31:00+0500",
        "2018-04-05T17:31:00+24:00",
        "2018-04-05T17:31:00+05:60",
        "2018-04-05T17:31:00+xx:00",
        "2018-04-05T17:31:00.Z",
        "2018-04-05T17:31:00,5Z",
        "2018-04-05T24:00:00Z",
        "2018-04-05T17:60:00Z",
        "2018-04-05T17:31:61Z",
        "2018-13-05T17:31:00Z",
        "2018-00-05T17:31:00Z",
        "2018-04-00T17:31:00Z",
        "2018-04-31T17:31:00Z",
        "2018-02-29T17:31:00Z",
        "1900-02-29T17:31:00Z",
        "18-04-05T17:31:00Z",
        "02018-04-05T17:31:00Z",
        "-018-04-05T17:31:00Z",
        "2018-W14-4T17:31:00Z",
        "20180405T173100Z",
        "2018-04-05T17:31:00Z\n",
        " 2018-04-05T17:31:00Z",
        "\uff12018-04-05T17:31:00Z",
        "2016-12-30T23:59:60Z",  # a leap second ends a month, in UTC
        "2016-12-31T22:59:60Z",
        "2016-12-31T23:58:60Z",
        "2016-12-31T23:59:60+01:00",
    ],
)
def test_a_timestamp_outside_rfc_3339_is_none(text: str) -> None:
    assert not grammar.is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://cloudevents.io",
        "https://user:secret@example.com:8080/a/b;c=1?d=e/?f#g?/h",
        "http://[2001:db8::7]/c=GB?one",
        "http://[v1.fe80::a+en1]/",
        "http://127.0.0.1/",
        "http:///no/host",
        "file:/etc/hosts",
        "mailto:John.Doe@example.com",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "a+b-c.1:",
        "/sensors/tn-1234567/alerts",
        "//authority/path",
        "cloudevents/spec/pull/123",
        "1-555-123-4567",
        "./a:b",
        "../a",
        "#fragment",
        "?query",
        "caf%C3%A9",
        "(!$&'*+,;=~)@",
        "",
    ],
)
def test_a_uri_reference_of_rfc_3986_is_one(text: str) -> None:
    assert grammar.is_uri_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "http://exa mple.com",
        "%",
        "%4",
        "%zz",
        "a#b#c",
        "1a:b",
        ":a",
        "a@b:c",  # a relative reference's first segment has no colon
        "http://[::1",
        "http://[::g]/",
        "http://[1:2:3:4:5:6:7:8:9]/",
        "http://[fe80::1%25en0]/",
        "http://host:port/",
        "http://a[b]/",
        "http://a@b@c/",
        "a\\b",
        "<a>",
        '"a"',
        "a|b",
        "{a}",
        "a^b",
        "`",
        "café",
        "a\n",
    ],
)
def test_what_rfc_3986_doesnt_allow_is_no_uri_reference(text: str) -> None:
    assert not grammar.is_uri_reference(text)


@pytest.mark.parametrize("text", ["https://example.com/schema", "urn:a:b", "x:", "http://[::1]/a?b"])
def test_an_absolute_uri_has_a_scheme(text: str) -> None:
    assert grammar.is_absolute_uri(text)


@pytest.mark.parametrize("text", ["", "/schema", "//host/schema", "schema", "http://a/b#c", "http://[::z]/"])
def test_a_reference_without_scheme_or_with_a_fragment_is_no_absolute_uri(text: str) -> None:
    assert not grammar.is_absolute_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        "application/json",
        "text/plain; charset=utf-8",
        'a/b;c="d \\" e";f=g',
        "image/svg+xml",
        "x-a/vnd.b-c.d+e",
    ],
)
def test_a_media_type_has_a_type_a_subtype_and_perhaps_parameters(text: str) -> None:
    assert grammar.is_media_type(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xyz",
        "application/",
        "/json",
        "a/b/c",
        "a b/c",
        "a/b;",
        "a/b; c",
        "a/b; c=",
        "a/b; c=d e",
        "é/b",
        'a/b;c="d',
    ],
)
def test_what_isnt_type_and_subtype_is_no_media_type(text: str) -> None:
    assert not grammar.is_media_type(text)


@pytest.mark.parametrize(
    "text",
    ["application/json", "text/json", "application/cloudevents+json", "A/JSON", "a/b+JSON; charset=utf-8"],
)
def test_a_json_subtype_or_suffix_declares_json(text: str) -> None:
    assert grammar.declares_json(text)


@pytest.mark.parametrize(
    "text", ["text/plain", "application/jsonl", "json/plain", "a/json-seq", "a/b; c=x+json"]
)
def test_other_media_types_dont_declare_json(text: str) -> None:
    assert not grammar.declares_json(text)


@pytest.mark.parametrize("name", ["a", "0", "partitionkey", "a" * 200])
def test_a_name_has_lower_case_letters_and_digits(name: str) -> None:
    assert grammar.is_name(name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "a-b", "a.b", "é", "a b", "٣", "a\n"])
def test_anything_else_names_no_attribute(name: str) -> None:
    assert not grammar.is_name(name)


@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x85", "\x9f", "\ud800", "\udfff"])
@pytest.mark.parametrize("place", ["{}", "a{}", "{}a"])
def test_a_string_has_no_control_character_and_no_lone_surrogate(character: str, place: str) -> None:
    assert not grammar.is_string(place.format(character))


@pytest.mark.parametrize("character", ["\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"])
def test_a_string_has_no_noncharacter(character: str) -> None:
    assert not grammar.is_string(f"a{character}")


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "é", "\xa0", "\u2028", "\u200b", "\ufffd", "\ue000", "😀", "\U000e0001"]
)
def test_a_string_has_any_other_character(text: str) -> None:
    assert grammar.is_string(text)
