from __future__ import annotations

import dataclasses
import inspect
import json
import re
from dataclasses import replace
from typing import Any, ClassVar

import jsonschema
import pytest

from events import CloudEvent, InvalidEvent, UnknownFact, catalogue, http, validate
from events.chat import Item, TurnCompleted, TurnStarted, Usage
from events.fact import Fact, field_types
from events.schema import schema

facts = pytest.mark.parametrize("fact_type", catalogue.FACTS, ids=lambda fact_type: fact_type.__name__)


def event_of(fact: Fact, **arguments: Any) -> CloudEvent:
    return catalogue.to_event(fact, id="1", source=fact.SOURCE, time="2026-01-15T09:30:00Z", **arguments)


@facts
def test_a_fact_goes_to_its_event_and_back(fact_type: type[Fact]) -> None:
    fact = catalogue.sample(fact_type)
    event = event_of(
        fact, subject="s", tenant="acme", partitionkey="p", extensions={"sequence": "0000000001"}
    )
    validate(event)
    assert catalogue.from_event(http.decode_one(*http.to_binary(event))) == fact
    assert event.extensions == {"tenant": "acme", "partitionkey": "p", "sequence": "0000000001"}


@facts
def test_a_fact_is_frozen_and_says_who_emits_it_and_what_twice_means(fact_type: type[Fact]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(catalogue.sample(fact_type), next(iter(field_types(fact_type))), "other")
    emitter = fact_type.SOURCE.removeprefix("/hadal/")
    text = inspect.getdoc(fact_type) or ""
    assert f"Emitted by ``{emitter}``" in text
    assert "Twice is harmless" in " ".join(text.split())


@facts
def test_a_facts_type_is_named_after_its_class(fact_type: type[Fact]) -> None:
    words = re.sub(r"(?<!^)([A-Z])", r"_\1", fact_type.__name__).lower()
    assert re.fullmatch(rf"dev\.hadal\.[a-z]+\.{words}\.v1", fact_type.TYPE)


def test_no_two_facts_have_one_type() -> None:
    assert len({fact_type.TYPE for fact_type in catalogue.FACTS}) == len(catalogue.FACTS)


@facts
def test_a_sample_keeps_its_schema(fact_type: type[Fact]) -> None:
    data = event_of(catalogue.sample(fact_type)).json()
    jsonschema.Draft202012Validator.check_schema(schema(fact_type))
    jsonschema.validate(data, schema(fact_type), jsonschema.Draft202012Validator)


@facts
def test_the_schema_and_the_decoder_refuse_the_same_data(fact_type: type[Fact]) -> None:
    valid = event_of(catalogue.sample(fact_type)).json()
    checker = jsonschema.Draft202012Validator(schema(fact_type))
    for name in valid:
        spoils = [{**valid, name: bad} for bad in (None, 1, -1, "", True, [], [None], {}, {"a": None}, "x")]
        spoils.append({kept: value for kept, value in valid.items() if kept != name})
        for spoilt in spoils:
            event = replace(event_of(catalogue.sample(fact_type)), data=json.dumps(spoilt).encode())
            if name == "deadline" and isinstance(spoilt.get(name), str):
                continue  # a validator that isn't told to check formats takes any text for a date-time
            assert _is_taken(event) == checker.is_valid(spoilt), spoilt


def _is_taken(event: CloudEvent) -> bool:
    try:
        catalogue.from_event(event)
    except InvalidEvent:
        return False
    return True


def test_unknown_fields_are_ignored() -> None:
    """Promise 44: an unknown version."""
    event = event_of(catalogue.sample(TurnCompleted))
    newer = replace(event, data=json.dumps({**event.json(), "novelty": 1}).encode())
    assert catalogue.from_event(newer) == catalogue.sample(TurnCompleted)


@pytest.mark.parametrize("event_type", ["dev.hadal.chat.turn_completed.v2", "com.example.x"])
def test_a_type_that_isnt_in_the_catalogue_is_unknown_and_not_a_fault(event_type: str) -> None:
    """Promise 44: an unknown version."""
    with pytest.raises(UnknownFact, match=f"type '{event_type}' is not in the catalogue"):
        catalogue.from_event(CloudEvent("1", "/s", event_type))


def test_a_fact_without_data_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="the event has no data"):
        catalogue.from_event(CloudEvent("1", "/s", TurnStarted.TYPE))


def test_an_error_names_the_field_within() -> None:
    event = event_of(TurnCompleted("c", "t", "m", (), "stop", Usage(1, -2)))
    with pytest.raises(InvalidEvent, match=r"data\.usage\.completion_tokens is -2"):
        catalogue.from_event(event)


def test_an_items_content_may_be_text_parts_or_nothing() -> None:
    parts = ({"type": "text", "text": "hello"},)
    calls = ({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},)
    items = (
        Item("1", "user", "hello"),
        Item("2", "user", parts),
        Item("3", "assistant", None, tool_calls=calls),
    )
    event = event_of(TurnStarted("c", "t", "m", items, "2026-01-15T09:30:00Z"))
    assert catalogue.from_event(event) == TurnStarted("c", "t", "m", items, "2026-01-15T09:30:00Z")
    assert event.json()["items"][0] == {"id": "1", "role": "user", "content": "hello"}
    assert event.json()["items"][2] == {
        "id": "3",
        "role": "assistant",
        "content": None,
        "tool_calls": list(calls),
    }


def test_a_type_without_sample_says_what_to_do() -> None:
    @dataclasses.dataclass(frozen=True)
    class Unsampled:
        TYPE: ClassVar[str] = "t"
        SOURCE: ClassVar[str] = "s"

    with pytest.raises(KeyError, match="add one to its module's samples"):
        catalogue.sample(Unsampled)
