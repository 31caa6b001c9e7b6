"""Every fact that the functions tell each other, and the way from a fact to its event and back.

Changes are additive only: a new field has a default, anything else is a new type beside the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import orjson

from . import chat, fact
from .cloudevent import CloudEvent, ExtensionValue
from .errors import UnknownFact, shown
from .fact import Fact

FACTS: tuple[type[Fact], ...] = chat.FACTS
_BY_TYPE = {fact_type.TYPE: fact_type for fact_type in FACTS}

F = TypeVar("F", bound=Fact)


def to_event(
    fact_: Fact,
    *,
    id: str,  # noqa: A002 (the attribute's name)
    source: str,
    time: str,
    subject: str | None = None,
    tenant: str | None = None,
    partitionkey: str | None = None,
    extensions: Mapping[str, ExtensionValue] | None = None,
) -> CloudEvent:
    """The event that tells a fact; ``tenant`` and ``partitionkey`` are extensions. Nothing is checked."""
    named = {"tenant": tenant, "partitionkey": partitionkey}
    ours = {name: value for name, value in named.items() if value is not None}
    return CloudEvent(
        id=id,
        source=source,
        type=fact_.TYPE,
        subject=subject,
        time=time,
        datacontenttype="application/json",
        data=orjson.dumps(fact.encode(fact_)),
        extensions={**ours, **(extensions or {})},
    )


def from_event(event: CloudEvent) -> Fact:
    """The fact that an event tells; fields that this version doesn't know are ignored.

    Raises UnknownFact for a type that the catalogue lacks, InvalidEvent for data that doesn't fit the type.
    """
    fact_type = _BY_TYPE.get(event.type)
    if fact_type is None:
        raise UnknownFact(f"type {shown(event.type)} is not in the catalogue (docs/events.md)", "type")
    result: Fact = fact.decode(fact_type, event.json())
    return result


def sample(fact_type: type[F]) -> F:
    """An example of a fact, as docs/events.md shows it."""
    for example in chat.samples():
        if isinstance(example, fact_type):
            return example
    raise KeyError(f"{fact_type.__name__} has no sample; add one to its module's samples()")
