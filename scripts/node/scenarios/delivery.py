"""What becomes of an event by what its subscriber answers: retries, replies, loops."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .objects import KAFKA, broker, delivery, service, to_broker, to_service, trigger
from .place import NAMESPACE
from .scenario import Observation, Scenario
from .stage import Received, Stage, between

TAKEN = ("200", "202", "204")
REFUSED = ("301", "400", "401", "403", "410", "413", "422", "425")
RETRIED = ("404", "408", "409", "429", "500", "501", "503")
DEAD = "/events/dead?answer=204"
STEP_S = 1.0
EARLY_S = 0.2
"""How much sooner than it should a try may come; it may be later by what is left of a step."""


async def answers(stage: Stage) -> Observation:
    """An event for each status, which the subscriber answers with it; one retry."""
    probe, events = await _deliver(stage, delivery(1))
    statuses = (*TAKEN, *REFUSED, *RETRIED)
    for status in statuses:
        await stage.post(events, status, answer=status)

    def is_over(got: list[Received]) -> bool:
        return len({each.id for each in got if each.answer in TAKEN}) == len(statuses)

    got = await stage.recorded(probe, is_over, "every event to be taken or dead")
    return {status: _fate(got, status) for status in statuses}


async def no_events(stage: Stage) -> Observation:
    """Answers of 200 with a body that is no event."""
    probe, events = await _deliver(stage, delivery(1))
    for kind in ("text", "json"):
        await stage.post(events, kind, answer=kind)
    got = await stage.recorded(probe, lambda got: len(_dead(got)) == 2, "two dead letters")
    return {kind: {"fate": _fate(got, kind), **_error(_dead(got)[kind])} for kind in ("text", "json")}


async def silence(stage: Stage) -> Observation:
    """A subscriber that answers too late."""
    probe, events = await _deliver(stage, delivery(1, timeout="PT1S"))
    await stage.post(events, "late", answer="sleep:2")
    got = await stage.recorded(probe, lambda got: len(_dead(got)) == 1, "a dead letter")
    first, second = [each.at_s for each in got if each.label == "first"]
    gap = between(second - first, 0.9, 2.0)
    return {"fate": _fate(got, "late"), "second try after": gap, **_error(_dead(got)["late"])}


async def spacing(stage: Stage) -> Observation:
    """The pauses before three retries, in seconds."""
    probe, events = stage.named("probe"), stage.named("events")
    policies = ("linear", "exponential")
    triggers = [
        trigger(
            stage.named(policy),
            events,
            to_service(probe, f"/events/{policy}?answer=503"),
            delivery=delivery(3, f"PT{STEP_S:g}S", policy),
        )
        for policy in policies
    ]
    await stage.apply(service(probe), broker(events, stage.broker_class), *triggers)
    await stage.warm(probe)
    await stage.post(events, "1")
    got = await stage.recorded(probe, lambda got: len(got) == 8, "four tries of each")
    times = {policy: [each.at_s for each in got if each.label == policy] for policy in policies}
    return {policy: [_steps(b - a) for a, b in pairwise(times[policy])] for policy in policies}


async def replies(stage: Stage) -> Observation:
    """An event as the answer."""
    probe, events = stage.named("probe"), stage.named("events")
    await stage.apply(
        service(probe),
        broker(events, stage.broker_class),
        trigger(
            stage.named("asks"),
            events,
            to_service(probe, "/events/asked?answer=event:x.y.z"),
            [{"exact": {"type": "a.b.c"}}],
        ),
        trigger(
            stage.named("hears"), events, to_service(probe, "/events/heard"), [{"exact": {"type": "x.y.z"}}]
        ),
    )
    await stage.post(events, "1")
    got = await stage.recorded(probe, lambda got: any(each.label == "heard" for each in got), "the reply")
    (heard,) = [each for each in got if each.label == "heard"]
    return {"type": heard.attribute("type"), "id": heard.id, "body": heard.body}


async def loop(stage: Stage) -> Observation:
    """A subscriber that answers each event with another of the same type; the event may make five hops.

    With a dead letter sink, since the in-memory channel delivers before it answers: without one each hop
    hears that the one after it has failed, and tries again, whatever the ingress said to the last of them.
    """
    probe, events = await _deliver(stage, delivery(1), "/events/first?answer=event:a.b.c")
    await stage.post(events, "1", knativebrokerttl="5")
    got = await stage.recorded(probe, _dead, "a dead letter")
    (letter,) = _dead(got).values()
    rounds = [each for each in got if each.label == "first"]
    by_ingress = (letter.attribute("knativeerrordest") or "").endswith(f"/{NAMESPACE}/{events}")
    return {
        "rounds": len(rounds),
        "knativebrokerttl is seen": any(each.attribute("knativebrokerttl") for each in rounds),
        "the last is refused by": "the ingress" if by_ingress else letter.attribute("knativeerrordest"),
        "knativeerrorcode": letter.attribute("knativeerrorcode"),
    }


async def headers(stage: Stage) -> Observation:
    """What comes with an event, beside its own attributes."""
    probe, events = await _deliver(stage, delivery(1))
    await stage.post(events, "1")
    (got,) = await stage.recorded(probe, lambda got: len(got) == 1, "the event")
    words = ("prefer", "kn-namespace", "k-proxy-request", "x-forwarded-proto")
    there = ("forwarded", "x-forwarded-for", "x-request-id")
    return {
        **{name: got.headers.get(name) for name in words},
        **{name: "there" if name in got.headers else None for name in there},
        "attributes added": sorted(name for name in got.headers if name.startswith("ce-knative")),
    }


async def hands_on(stage: Stage) -> Observation:
    """A Trigger whose subscriber is another Broker."""
    probe, events, others = stage.named("probe"), stage.named("events"), stage.named("others")
    await stage.apply(
        service(probe),
        broker(events, stage.broker_class),
        broker(others, stage.broker_class),
        trigger(stage.named("on"), events, to_broker(others)),
        trigger(stage.named("in"), others, to_service(probe, "/events/in")),
    )
    await stage.post(events, "1")
    (got,) = await stage.recorded(probe, lambda got: len(got) == 1, "the event")
    return {"id": got.id, "body": got.body}


async def _deliver(stage: Stage, policy: dict[str, Any], path: str = "/events/first") -> tuple[str, str]:
    """A Broker, and one Trigger of it with a dead letter sink at the same probe; the probe is warm."""
    probe, events = stage.named("probe"), stage.named("events")
    policy = {**policy, "deadLetterSink": to_service(probe, DEAD)}
    await stage.apply(
        service(probe),
        broker(events, stage.broker_class),
        trigger(stage.named("all"), events, to_service(probe, path), delivery=policy),
    )
    await stage.warm(probe)
    return probe, events


def _dead(got: list[Received]) -> dict[str, Received]:
    return {each.id: each for each in got if each.label == "dead"}


def _fate(got: list[Received], ident: str) -> str:
    tries = sum(each.id == ident and each.label == "first" for each in got)
    return f"{tries} {'try' if tries == 1 else 'tries'}, " + ("dead" if ident in _dead(got) else "taken")


def _error(letter: Received) -> dict[str, str | None]:
    return {f"knativeerror{name}": letter.attribute(f"knativeerror{name}") for name in ("code", "data")}


def _steps(gap_s: float) -> float:
    return int((gap_s + EARLY_S) / STEP_S) * STEP_S


_FATES = {
    **dict.fromkeys(TAKEN, "1 try, taken"),
    **dict.fromkeys(REFUSED, "1 try, dead"),
    **dict.fromkeys(RETRIED, "2 tries, dead"),
}
_NOTHING = {"knativeerrorcode": None, "knativeerrordata": None}
_THROUGH_SERVING = {
    "prefer": "reply",
    "kn-namespace": "hadal-scenarios",
    "k-proxy-request": "activator",
    "x-forwarded-proto": "http",
    "forwarded": "there",
    "x-forwarded-for": "there",
    "x-request-id": "there",
}
_KAFKA_HEADERS = ["ce-knativekafkaoffset", "ce-knativekafkapartition"]

SCENARIOS = (
    Scenario("answers", "Which answers are tried again (`retry: 1`), and which not.", answers, _FATES),
    Scenario("answers kafka", "The same, class Kafka.", answers, _FATES, broker_class=KAFKA),
    Scenario(
        "non-events",
        "An answer of 200 whose body is no event.",
        no_events,
        {kind: {"fate": "2 tries, dead", **_NOTHING} for kind in ("text", "json")},
    ),
    Scenario(
        "non-events kafka",
        "The same, class Kafka.",
        no_events,
        {kind: {"fate": "1 try, dead", **_NOTHING} for kind in ("text", "json")},
        broker_class=KAFKA,
    ),
    Scenario(
        "silence",
        "A subscriber that doesn't answer within `timeout`.",
        silence,
        {"fate": "2 tries, dead", "second try after": "between 0.9 and 2 s", **_NOTHING},
        timed=True,
    ),
    Scenario(
        "spacing",
        "The seconds before each of three retries, `backoffDelay: PT1S`.",
        spacing,
        {"linear": [0.0, 1.0, 2.0], "exponential": [1.0, 2.0, 4.0]},
        timed=True,
    ),
    Scenario(
        "spacing kafka",
        "The same, class Kafka.",
        spacing,
        {"linear": [1.0, 2.0, 3.0], "exponential": [2.0, 4.0, 8.0]},
        timed=True,
        broker_class=KAFKA,
    ),
    Scenario(
        "replies",
        "An event in an answer goes into the Broker.",
        replies,
        {"type": "x.y.z", "id": "1-r", "body": '{"is": "a reply"}'},
    ),
    Scenario(
        "loop",
        "A loop of replies ends when `knativebrokerttl` (5 at the ingress) is used up.",
        loop,
        {
            "rounds": 4,
            "knativebrokerttl is seen": False,
            "the last is refused by": "the ingress",
            "knativeerrorcode": "400",
        },
    ),
    Scenario(
        "event headers",
        "What a function is told with an event.",
        headers,
        {**_THROUGH_SERVING, "attributes added": ["ce-knativearrivaltime"]},
    ),
    Scenario(
        "event headers kafka",
        "The same, class Kafka.",
        headers,
        {**_THROUGH_SERVING, "attributes added": _KAFKA_HEADERS},
        broker_class=KAFKA,
    ),
    Scenario("broker to broker", "A Broker as a subscriber.", hands_on, {"id": "1", "body": '{"a": 1}'}),
)
