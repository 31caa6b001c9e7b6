"""`python -m scripts.docs`: writes what is generated: docs/events.md and the facts' JSON Schemas.

The page tells every event: who emits it (the catalogue), who reacts (the Triggers' filters), a sample.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from events import catalogue, jsonformat
from events.cloudevent import CloudEvent
from events.fact import Fact, field_types
from events.schema import schema
from events.validation import CORE_NAMES
from scripts.local.eventing.filters import selection
from scripts.local.eventing.ping import ping_event
from scripts.local.manifests.eventing import read_ping_source, read_trigger
from scripts.local.manifests.fields import Fields
from scripts.local.manifests.kustomize import render
from scripts.local.manifests.model import Filter, PingSource, Trigger
from scripts.local.manifests.problems import ManifestError, Problem

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "events.md"
SCHEMAS = ROOT / "events" / "schemas"
SAMPLE_TIME = datetime(2026, 1, 15, 9, 30, 2, tzinfo=UTC)

HEAD = """\
<!-- Written by `python -m scripts.docs` from events/ and eventing/; a test says whether it is current. -->
# The events

Every fact is a [CloudEvent](https://cloudevents.io) on the Broker `default`: its type names it, its data is
described by a JSON Schema in [events/schemas](../events/schemas). A new reaction is a new Trigger.

| event | emitted by | who reacts |
|---|---|---|
"""


def page(triggers: list[Trigger], ping_sources: list[PingSource]) -> str:
    """docs/events.md."""
    rows = [_row(fact_type, triggers) for fact_type in catalogue.FACTS]
    rows += [_ping_row(source, triggers) for source in ping_sources]
    sections = [_section(fact_type, triggers) for fact_type in catalogue.FACTS]
    return HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections)


def schemas() -> dict[Path, str]:
    """Every file of events/schemas with its text."""
    return {
        SCHEMAS / f"{fact_type.TYPE}.json": json.dumps(schema(fact_type), indent=2) + "\n"
        for fact_type in catalogue.FACTS
    }


def _row(fact_type: type[Fact], triggers: list[Trigger]) -> str:
    name = fact_type.TYPE
    anchor = re.sub(r"[^\w -]", "", name)
    return (
        f"| [`{name}`](#{anchor}) | {_emitter(fact_type)} | {_reactions(sample_event(fact_type), triggers)} |"
    )


def _ping_row(source: PingSource, triggers: list[Trigger]) -> str:
    event = ping_event(source, SAMPLE_TIME)
    emitter = f"the PingSource `{source.name}` (`{source.schedule}`)"
    return f"| `{event.type}` | {emitter} | {_reactions(event, triggers)} |"


def _section(fact_type: type[Fact], triggers: list[Trigger]) -> str:
    text = (inspect.getdoc(fact_type) or "").replace("``", "`")
    event = sample_event(fact_type)
    sample = json.dumps(json.loads(jsonformat.to_json(event)), indent=2)
    reactions = _reactions(event, triggers)
    return f"## `{fact_type.TYPE}`\n\n{text}\n\nWho reacts: {reactions}.\n\n```json\n{sample}\n```\n"


def _emitter(fact_type: type[Fact]) -> str:
    return f"`{fact_type.SOURCE.removeprefix('/hadal/')}`"


def sample_event(fact_type: type[Fact]) -> CloudEvent:
    """An event that tells the sample of a fact."""
    fact = catalogue.sample(fact_type)
    subject = getattr(fact, next(iter(field_types(fact_type))))  # what a fact is about is its first field
    return catalogue.to_event(
        fact,
        id="01hv3m9f0b",
        source=fact_type.SOURCE,
        time=SAMPLE_TIME.isoformat().replace("+00:00", "Z"),
        subject=subject,
        tenant="acme",
        partitionkey=subject,
    )


def _reactions(event: CloudEvent, triggers: list[Trigger]) -> str:
    reactions = []
    for trigger in triggers:
        conditions = dict(_extensions_asked_for(trigger.filters or ()))
        conditions |= {
            name: value for name, value in (trigger.filter_attributes or {}).items() if name not in CORE_NAMES
        }
        if selection(trigger).wants({**event.attributes(), **conditions}):
            where = "".join(f", where `{name}` is `{value}`" for name, value in conditions.items())
            reactions.append(f"`{trigger.subscriber.name}` (Trigger `{trigger.name}`{where})")
    return ", ".join(reactions) or "no one yet"


def _extensions_asked_for(filters: tuple[Filter, ...]) -> Iterator[tuple[str, str]]:
    """The extensions that must have one value for a Trigger to want an event."""
    for element in filters:
        if element.dialect == "exact":
            yield from ((name, value) for name, value in element.argument.items() if name not in CORE_NAMES)
        elif element.dialect == "all":
            yield from _extensions_asked_for(tuple(element.argument))


def eventing() -> tuple[list[Trigger], list[PingSource]]:
    """The Triggers and PingSources of eventing/; ManifestError for one that can't be read."""
    problems: list[Problem] = []
    triggers: list[Trigger] = []
    ping_sources: list[PingSource] = []
    for item in render(ROOT / "eventing", ROOT):
        fields = Fields(item, item.where, "", problems)
        if item["kind"] == "Trigger":
            triggers.append(read_trigger(fields))
        elif item["kind"] == "PingSource":
            ping_sources.append(read_ping_source(fields))
    if problems:
        raise ManifestError(problems)
    return triggers, ping_sources


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    return {PAGE: page(*eventing()), **schemas()}


def main() -> None:
    """Write the generated files, and remove schemas of facts that are no more."""
    wanted = files()
    SCHEMAS.mkdir(exist_ok=True)
    for path in set(SCHEMAS.glob("*.json")) - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
