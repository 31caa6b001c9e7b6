"""What a Broker's ingress answers, and what it has done by then."""

from __future__ import annotations

from .objects import broker, service, to_service, trigger
from .scenario import Observation, Scenario
from .stage import Stage

ASYNC = {"messaging.knative.dev/async-handler": "true"}
"""A Broker hands its annotations of this group on to its channel."""


async def statuses(stage: Stage) -> Observation:
    """An event, something else, and an event for a Broker that there isn't."""
    probe, events = stage.named("probe"), stage.named("events")
    await stage.apply(
        service(probe),
        broker(events, stage.broker_class),
        trigger(stage.named("all"), events, to_service(probe, "/events/taken")),
    )
    unknown = await stage.post(stage.named("unknown"), "1")
    no_event = await stage.place.post_event(events, {"content-type": "application/json"}, b"{}")
    return {"an event": await stage.post(events, "1"), "no event": no_event, "no such Broker": unknown}


async def refusal(stage: Stage) -> Observation:
    """An event that its only subscriber refuses for good, and there is no dead letter sink; two Brokers."""
    probe, plain, told = stage.named("probe"), stage.named("plain"), stage.named("async")
    subscriber = to_service(probe, "/events/refused?answer=422")
    await stage.apply(
        service(probe),
        broker(plain, stage.broker_class),
        broker(told, stage.broker_class, annotations=ASYNC),
        *(trigger(name, name, subscriber) for name in (plain, told)),
    )
    await stage.warm(probe)
    seen = {"by default": await stage.post(plain, "1"), "with `async-handler`": await stage.post(told, "2")}
    got = await stage.recorded(probe, lambda got: {each.id for each in got} == {"1", "2"}, "both events")
    return {**seen, "tries": len(got)}


SCENARIOS = (
    Scenario(
        "ingress",
        "What a Broker's ingress answers.",
        statuses,
        {"an event": 202, "no event": 400, "no such Broker": 404},
    ),
    Scenario(
        "ingress and refusal",
        "What it answers to an event that is refused by its subscriber, without a dead letter sink.",
        refusal,
        {"by default": 500, "with `async-handler`": 202, "tries": 2},
        runner={"by default": 202, "with `async-handler`": 202, "tries": 2},
        why="the in-memory channel delivers, retries included, before it answers, unless told otherwise; "
        "the runner stores the event, as class Kafka does",
    ),
)
