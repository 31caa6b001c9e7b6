"""Hypothesis strategies of valid events, from the specification's text and not from the code under test."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from events import CloudEvent

examples = settings(max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "20")), deadline=None)
"""How many events a property is tried with: few in the fast tests, as many as one likes by the variable."""

CORE = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"}
NONCHARACTERS = {plane * 0x10000 + end for plane in range(17) for end in (0xFFFE, 0xFFFF)}
NONCHARACTERS |= set(range(0xFDD0, 0xFDF0))

characters = st.characters(exclude_categories=["Cc", "Cs"]).filter(lambda c: ord(c) not in NONCHARACTERS)
strings = st.text(characters, min_size=1, max_size=20)
names = st.from_regex(r"[a-z0-9]{1,24}", fullmatch=True).filter(lambda name: name not in CORE)
sources = st.sampled_from(
    [
        "/hadal/chat",
        "https://example.com/a?b=c#d",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "#here",
        "//[2001:db8::7]:80/x",
        "mailto:a@example.com",
        "a/b;c=1",
        "?q",
        "../up",
        "%C3%A9",
    ]
)
schemas = st.sampled_from(["https://example.com/schema", "urn:x:y", "http://user@[::1]/a?b"])
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.one_of(
    st.datetimes(timezones=offsets).map(lambda moment: moment.isoformat()),
    st.sampled_from(
        ["2016-12-31T23:59:60Z", "2000-02-29t00:00:00.123456789012z", "0000-01-01T00:00:00-00:00"]
    ),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
json_texts = st.tuples(json_values, st.booleans(), st.sampled_from([None, 1])).map(
    lambda drawn: json.dumps(drawn[0], ensure_ascii=drawn[1], indent=drawn[2]).encode()
)
payloads = st.one_of(
    st.just((None, None)),
    st.tuples(
        st.sampled_from(["application/json", "text/json; charset=utf-8", "application/x+JSON"]), json_texts
    ),
    st.tuples(
        st.sampled_from(["text/plain", "application/xml", "image/svg+xml; charset=UTF-8"]),
        strings.map(str.encode),
    ),
    st.tuples(
        st.sampled_from([None, "application/octet-stream", "text/plain"]), st.binary(min_size=1, max_size=40)
    ),
)
text_extensions = st.dictionaries(names, strings | st.just(""), max_size=4)
extensions = st.dictionaries(
    names,
    strings | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.binary(max_size=20),
    max_size=4,
)


def events(extensions: st.SearchStrategy[dict[str, Any]] = text_extensions) -> st.SearchStrategy[CloudEvent]:
    """Valid events of every shape."""
    optional = st.none()
    return st.builds(
        lambda payload, **attributes: CloudEvent(datacontenttype=payload[0], data=payload[1], **attributes),
        payload=payloads,
        id=strings,
        source=sources,
        type=strings,
        subject=optional | strings,
        time=optional | times,
        dataschema=optional | schemas,
        extensions=extensions,
    )


def meaning(event: CloudEvent) -> tuple[CloudEvent, Any]:
    """An event without the spelling of its JSON, which the JSON format may change."""
    if event.data is None or "json" not in (event.datacontenttype or "").lower():
        return event, None
    return replace(event, data=None), json.loads(event.data)
