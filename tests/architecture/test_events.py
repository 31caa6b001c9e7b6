"""The catalogue, the Triggers and the samples agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from events import catalogue
from tests.architecture.house import ROOT, kinds

TYPES = {fact.TYPE for fact in catalogue.FACTS}
TIMER = "dev.knative.sources.ping"


def conditions(filters: list[dict[str, Any]], dialect: str) -> Iterator[str]:
    """Every `type` that filters name in a dialect, however deep."""
    for entry in filters:
        for name, argument in entry.items():
            if name == dialect and "type" in argument:
                yield argument["type"]
            elif name == "not":
                yield from conditions([argument], dialect)
            elif name in {"all", "any"}:
                yield from conditions(argument, dialect)


@pytest.mark.parametrize("trigger", kinds("Trigger"), ids=lambda trigger: trigger["metadata"]["name"])
def test_a_trigger_waits_for_types_that_someone_emits(trigger: dict[str, Any]) -> None:
    filters = trigger["spec"]["filters"]
    exact = set(conditions(filters, "exact"))
    prefixes = set(conditions(filters, "prefix"))
    timers = {TIMER} if kinds("PingSource") else set()
    assert exact <= TYPES | timers
    assert all(any(fact.startswith(prefix) for fact in TYPES) for prefix in prefixes)
    assert exact | prefixes, "a Trigger without a type would wake its function for everything"


def test_a_trigger_says_how_often_it_tries_and_how_long_it_waits() -> None:
    for trigger in kinds("Trigger"):
        delivery = trigger["spec"]["delivery"]
        assert {"retry", "backoffPolicy", "backoffDelay", "timeout"} <= delivery.keys(), trigger["metadata"]


def test_every_fact_has_a_sample_and_stands_on_the_page_of_events() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    for fact in catalogue.FACTS:
        assert isinstance(catalogue.sample(fact), fact)
        assert fact.TYPE in page


def test_the_types_are_the_projects_own_and_bear_a_version() -> None:
    for name in TYPES:
        domain, hadal, subject, fact, version = name.split(".")[:2], *name.split(".")[1:]
        assert (domain, hadal, version) == (["dev", "hadal"], "hadal", "v1"), (name, subject, fact)
