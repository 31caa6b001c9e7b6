from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from events import CloudEvent, InvalidEvent
from events.validation import checked

EVENT = CloudEvent(
    id="1",
    source="/s",
    type="t",
    subject="sub",
    time="2018-04-05T17:31:00Z",
    datacontenttype="application/json",
    dataschema="https://example.com/schema",
    data=b'{"a":1}',
    extensions={"text": "x", "whole": -5, "yes": True, "no": False, "bytes": b"Ma"},
)


def test_attributes_are_in_their_canonical_string_form() -> None:
    assert EVENT.attributes() == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "subject": "sub",
        "time": "2018-04-05T17:31:00Z",
        "datacontenttype": "application/json",
        "dataschema": "https://example.com/schema",
        "text": "x",
        "whole": "-5",
        "yes": "true",
        "no": "false",
        "bytes": "TWE=",
    }


def test_attributes_that_arent_set_arent_there() -> None:
    assert CloudEvent("1", "/s", "t").attributes() == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
    }


def test_json_decodes_the_data() -> None:
    assert EVENT.json() == {"a": 1}


@pytest.mark.parametrize("data", [None, b"", b"{", b'{"a":1,"a":2}', b'"\xff"'])
def test_json_of_data_that_isnt_json_is_refused(data: bytes | None) -> None:
    with pytest.raises(InvalidEvent) as caught:
        replace(EVENT, data=data).json()
    assert caught.value.attribute == "data"


def test_extended_adds_and_replaces_and_leaves_the_first_as_it_was() -> None:
    extended = EVENT.extended(text="y", more="z")
    assert extended.extensions == {**EVENT.extensions, "text": "y", "more": "z"}
    assert EVENT.extensions["text"] == "x"
    assert replace(extended, extensions=EVENT.extensions) == EVENT


def test_an_extension_cant_take_the_place_of_an_attribute() -> None:
    with pytest.raises(InvalidEvent, match="subject has its own place"):
        EVENT.extended(subject="x")


def test_a_decoded_event_is_as_frozen_and_equal_as_one_made_by_hand() -> None:
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "ext": "x"}
    decoded = checked(attributes, b"data")
    made = CloudEvent("1", "/s", "t", data=b"data", extensions={"ext": "x"})
    assert type(decoded) is CloudEvent
    assert decoded == made
    assert repr(decoded) == repr(made)
    assert pickle.loads(pickle.dumps(decoded)) == copy.deepcopy(decoded) == made
    with pytest.raises(FrozenInstanceError):
        decoded.id = "2"  # type: ignore[misc]


def test_events_of_one_source_and_id_have_one_hash() -> None:
    assert hash(EVENT) == hash(replace(EVENT, data=None, extensions={}))
    assert len({EVENT, replace(EVENT, source="/other"), copy.copy(EVENT)}) == 2
