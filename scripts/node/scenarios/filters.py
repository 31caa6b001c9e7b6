"""Which events a Trigger wants, in every dialect."""

from __future__ import annotations

from typing import Any

from .objects import broker, service, to_service, trigger
from .scenario import Observation, Scenario
from .stage import Stage

PAID, LOST, USER = "order.paid.v1", "order.lost.v1", "user.made.v1"
FENCE = {"exact": {"id": "fence"}}
FILTERS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "exact": [{"exact": {"type": PAID}}],
    "prefix": [{"prefix": {"type": "order."}}],
    "suffix": [{"suffix": {"type": "paid.v1"}}],
    "extension": [{"exact": {"tenant": "acme"}}],
    "all": [{"all": [{"prefix": {"type": "order."}}, {"suffix": {"type": "paid.v1"}}]}],
    "any": [{"any": [{"exact": {"type": USER}}, {"exact": {"type": PAID}}]}],
    "not": [{"not": {"exact": {"type": LOST}}}],
    "two-elements": [{"prefix": {"type": "order."}}, {"not": {"exact": {"type": LOST}}}],
    "cesql-like": [{"cesql": "type LIKE 'order.%' AND EXISTS tenant"}],
    "cesql-number": [{"cesql": "INT(amount) > 10"}],
    "cesql-in": [{"cesql": f"type IN ('{USER}', '{PAID}')"}],
    "cesql-error": [{"any": [{"cesql": "INT(type) >= 0"}, FENCE]}],
}
OLD_FORM = {"attributes": {"type": PAID, "tenant": ""}}
EVENTS = {
    "paid": {"kind": PAID, "tenant": "acme", "amount": "12"},
    "lost": {"kind": LOST, "tenant": "acme", "amount": "8"},
    "user": {"kind": USER},
}


async def dialects(stage: Stage) -> Observation:
    """Every event that each Trigger passed on; the last event, which all of them want, says when to look."""
    probe, events = stage.named("probe"), stage.named("events")
    triggers = [
        trigger(stage.named(label), events, to_service(probe, f"/events/{label}"), filters)
        for label, filters in FILTERS.items()
    ]
    old = [
        trigger(stage.named("old"), events, to_service(probe, "/events/old"), filter=OLD_FORM),
        trigger(
            stage.named("both"),
            events,
            to_service(probe, "/events/both"),
            [{"any": [{"exact": {"type": USER}}, FENCE]}],
            filter=OLD_FORM,
        ),
    ]
    await stage.apply(service(probe), broker(events, stage.broker_class), *triggers, *old)
    labels = [*FILTERS, "old", "both"]
    for ident, attributes in EVENTS.items():
        await stage.post(events, ident, **attributes)
    await stage.recorded(
        probe, lambda got: sum(each.label == "none" for each in got) >= len(EVENTS), "all events"
    )
    await stage.post(events, "fence", **EVENTS["paid"])
    got = await stage.recorded(
        probe, lambda got: {each.label for each in got if each.id == "fence"} == set(labels), "the fence"
    )
    return {
        label: sorted({each.id for each in got if each.label == label} - {"fence"}, key=list(EVENTS).index)
        for label in labels
    }


SCENARIOS = (
    Scenario(
        "filters",
        "Which events pass each dialect of `filters`, the older `filter`, and both together.",
        dialects,
        {
            "none": ["paid", "lost", "user"],
            "exact": ["paid"],
            "prefix": ["paid", "lost"],
            "suffix": ["paid"],
            "extension": ["paid", "lost"],
            "all": ["paid"],
            "any": ["paid", "user"],
            "not": ["paid", "user"],
            "two-elements": ["paid"],
            "cesql-like": ["paid", "lost"],
            "cesql-number": ["paid"],
            "cesql-in": ["paid", "user"],
            "cesql-error": [],
            "old": ["paid"],
            "both": ["user"],
        },
    ),
)
