"""To zero, from zero, and several at once."""

from __future__ import annotations

import asyncio
from collections import Counter

from .objects import SOON_AT_ZERO, broker, service, to_service, trigger
from .scenario import Observation, Scenario
from .stage import Stage


async def at_first(stage: Stage) -> Observation:
    """A Service that is new, and that nobody has asked."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    return {"processes": await stage.place.replicas(probe)}


async def to_zero_and_back(stage: Stage) -> Observation:
    """A Service that nobody asks, and then somebody."""
    probe = stage.named("probe")
    await stage.apply(service(probe, scale=SOON_AT_ZERO))
    first = await stage.warm(probe)
    await stage.until_zero(probe)
    answer = await stage.ask(probe, "/who")
    other = answer.json()["process"] != first["process"]
    return {"unasked": "zero", "asked again": answer.status, "by": "another process" if other else "the same"}


async def events_at_zero(stage: Stage) -> Observation:
    """Events for a Service that has no process."""
    probe, events = stage.named("probe"), stage.named("events")
    await stage.apply(
        service(probe, scale=SOON_AT_ZERO),
        broker(events, stage.broker_class),
        trigger(stage.named("all"), events, to_service(probe, "/events/got")),
    )
    await stage.until_zero(probe)
    statuses = [await stage.post(events, str(number)) for number in range(3)]
    got = await stage.recorded(probe, lambda got: len(got) >= 3, "three events")
    return {"ingress": statuses, "delivered": sorted(each.id for each in got)}


async def burst(stage: Stage) -> Observation:
    """Six requests at once for none; a process takes one at a time, and there may be three."""
    probe = stage.named("probe")
    await stage.apply(service(probe, scale={**SOON_AT_ZERO, "max-scale": 3}, containerConcurrency=1))
    await stage.until_zero(probe)
    answers = await asyncio.gather(*(stage.ask(probe, "/sleep?s=0.7") for _ in range(6)))
    good = [answer.json() for answer in answers if answer.status == 200]
    processes = len({each["process"] for each in good})
    return {
        "answers": dict(Counter(str(answer.status) for answer in answers)),
        "at once in a process": max(each["most_at_once"] for each in good),
        "processes": "2 or 3" if processes in (2, 3) else processes,
    }


SCENARIOS = (
    Scenario(
        "at first",
        "A new Service that nobody has asked.",
        at_first,
        {"processes": 1},
        runner={"processes": 0},
        why="clusters have an `initial-scale` of 1; here nothing runs before it is asked for",
    ),
    Scenario(
        "to zero and back",
        "A Service that nobody asks ends; the next request starts it and is answered.",
        to_zero_and_back,
        {"unasked": "zero", "asked again": 200, "by": "another process"},
    ),
    Scenario(
        "events at zero",
        "Events to a function that is at zero.",
        events_at_zero,
        {"ingress": [202, 202, 202], "delivered": ["0", "1", "2"]},
    ),
    Scenario(
        "burst from zero",
        "Six requests at once, `containerConcurrency: 1`, `max-scale: 3`.",
        burst,
        {"answers": {"200": 6}, "at once in a process": 1, "processes": "2 or 3"},
    ),
)
