"""Dead letters: where they go, and what they say."""

from __future__ import annotations

import base64
from typing import Any

from .objects import CHANNEL, KAFKA, broker, delivery, service, to_service, trigger
from .scenario import Observation, Scenario
from .stage import Received, Stage

BODY_BYTES = {KAFKA: 2_000, CHANNEL: 768}
"""Of a long refusal: imc-dispatcher (Knative 1.23) panics over one byte more, and all it holds is lost."""
DATA_BYTES = {KAFKA: 1_024, CHANNEL: 768}
"""As much of it as a dead letter bears."""


async def sinks(stage: Stage) -> Observation:
    """Two Triggers refuse an event; one has a sink of its own, the other only its Broker's."""
    probe, events = stage.named("probe"), stage.named("events")
    own = delivery(0, deadLetterSink=to_service(probe, "/events/own-sink?answer=204"))
    brokers = delivery(0, deadLetterSink=to_service(probe, "/events/brokers-sink?answer=204"))
    await stage.apply(
        service(probe),
        broker(events, stage.broker_class, brokers),
        trigger(stage.named("has"), events, to_service(probe, "/events/one"), delivery=own),
        trigger(stage.named("has-not"), events, to_service(probe, "/events/two")),
    )
    await stage.warm(probe)
    await stage.post(events, "small", answer="422:unwanted")
    await stage.post(events, "large", answer=f"big:{BODY_BYTES[stage.broker_class]}")
    got = await stage.recorded(
        probe, lambda got: sum(each.label.endswith("sink") for each in got) == 4, "four dead letters"
    )
    return {
        f"{sink}, {ident}": _said(each, probe)
        for sink in ("own-sink", "brokers-sink")
        for ident in ("small", "large")
        for each in got
        if (each.label, each.id) == (sink, ident)
    }


def _said(letter: Received, probe: str) -> dict[str, Any]:
    """The extensions of a dead letter, the data decoded and the address by whose it is."""
    data = base64.b64decode(letter.attribute("knativeerrordata") or "").decode()
    address = letter.attribute("knativeerrordest") or ""
    return {
        "body": letter.body,
        "knativeerrorcode": letter.attribute("knativeerrorcode"),
        "knativeerrordata": data if len(data) < 100 else f"{len(data)} bytes",
        "knativeerrordest": next(
            (path for path in ("/events/one", "/events/two") if probe in address and address.endswith(path)),
            address or None,
        ),
    }


def _expected(broker_class: str) -> Observation:
    small = {"body": '{"a": 1}', "knativeerrorcode": "422", "knativeerrordata": "unwanted"}
    large = {
        "body": '{"a": 1}',
        "knativeerrorcode": "503",
        "knativeerrordata": f"{DATA_BYTES[broker_class]} bytes",
    }
    return {
        f"{sink}, {ident}": {**said, "knativeerrordest": path}
        for sink, path in (("own-sink", "/events/one"), ("brokers-sink", "/events/two"))
        for ident, said in (("small", small), ("large", large))
    }


SCENARIOS = (
    Scenario(
        "dead letters",
        "A Trigger's own sink goes before its Broker's; the letter says who refused it, how, and with what.",
        sinks,
        _expected(CHANNEL),
    ),
    Scenario("dead letters kafka", "The same, class Kafka.", sinks, _expected(KAFKA), broker_class=KAFKA),
)
