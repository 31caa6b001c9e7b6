"""Where events come from, and where a function is told to send its own."""

from __future__ import annotations

import json

from .objects import broker, ping_source, service, sink_binding, to_broker, to_service
from .place import NAMESPACE
from .scenario import Observation, Scenario
from .stage import Stage, between

INGRESS = "http://broker-ingress.knative-eventing.svc.cluster.local"


async def ping(stage: Stage) -> Observation:
    """An event every second."""
    probe, clock = stage.named("probe"), stage.named("clock")
    await stage.apply(
        service(probe),
        ping_source(
            clock,
            "* * * * * *",
            to_service(probe, "/events/tick"),
            contentType="application/json",
            data='{"tick": true}',
            ceOverrides={"extensions": {"tenant": "acme"}},
        ),
    )
    got = await stage.recorded(probe, lambda got: len(got) >= 5, "five ticks")
    source = f"/apis/v1/namespaces/{NAMESPACE}/pingsources/{clock}"
    return {
        "type": got[0].attribute("type"),
        "source": "the PingSource" if got[0].attribute("source") == source else got[0].attribute("source"),
        "content type": got[0].headers.get("content-type"),
        "body": got[0].body,
        "tenant": got[0].attribute("tenant"),
        "every": between((got[4].at_s - got[1].at_s) / 3, 0.6, 1.4),
    }


async def binding(stage: Stage) -> Observation:
    """A Service that a SinkBinding binds to a Broker."""
    probe, events = stage.named("probe"), stage.named("events")
    await stage.apply(
        broker(events, stage.broker_class),
        sink_binding(stage.named("binds"), probe, to_broker(events), {"tenant": "acme"}),
        service(probe),
    )

    async def bound() -> dict[str, str] | None:
        found: dict[str, str] = (await stage.ask(probe, "/env?name=K_SINK&name=K_CE_OVERRIDES")).json()
        return found if found["K_SINK"] else None

    found = await stage.until(bound, "K_SINK")
    address = f"{INGRESS}/{NAMESPACE}/{events}"
    return {
        "K_SINK": "the Broker's address" if found["K_SINK"] == address else found["K_SINK"],
        "K_CE_OVERRIDES": json.loads(found["K_CE_OVERRIDES"]),
    }


SCENARIOS = (
    Scenario(
        "pingsource",
        "A PingSource with data, a content type and an extension.",
        ping,
        {
            "type": "dev.knative.sources.ping",
            "source": "the PingSource",
            "content type": "application/json",
            "body": '{"tick": true}',
            "tenant": "acme",
            "every": "between 0.6 and 1.4 s",
        },
        timed=True,
    ),
    Scenario(
        "sinkbinding",
        "A SinkBinding tells a Service where to send events.",
        binding,
        {"K_SINK": "the Broker's address", "K_CE_OVERRIDES": {"extensions": {"tenant": "acme"}}},
    ),
)
