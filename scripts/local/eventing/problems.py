"""Everything in the eventing manifests that this runner can't do, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from events import InvalidEvent, validate
from scripts.local.manifests.model import Delivery, Destination, Manifests, PingSource, SourceLocation
from scripts.local.manifests.problems import Problem

from . import filters
from .classes import CLASSES
from .ping import ping_event, ticks
from .sinks import SinkError, Sinks


def problems(manifests: Manifests) -> list[Problem]:
    """All of them; nothing is started or changed."""
    wrong = [broker for broker in manifests.brokers if broker.klass not in CLASSES]
    if wrong:  # the addresses of the others depend on it
        text = "{!r} is no Broker class of the local runner; supported: " + ", ".join(CLASSES)
        path = "metadata.annotations.eventing.knative.dev/broker.class"
        return [Problem(broker.where, path, text.format(broker.klass)) for broker in wrong]
    sinks = Sinks(manifests)
    return [*_brokers(manifests, sinks), *_triggers(manifests, sinks), *_sources(manifests, sinks)]


def _brokers(manifests: Manifests, sinks: Sinks) -> Iterator[Problem]:
    for broker in manifests.brokers:
        yield from _delivery(broker.delivery, broker.namespace, sinks)


def _triggers(manifests: Manifests, sinks: Sinks) -> Iterator[Problem]:
    brokers = {(broker.namespace, broker.name) for broker in manifests.brokers}
    for trigger in manifests.triggers:
        if (trigger.namespace, trigger.broker) not in brokers:
            names = ", ".join(f"{namespace}/{name}" for namespace, name in sorted(brokers)) or "none"
            text = f"there is no Broker {trigger.namespace}/{trigger.broker}; there are: {names}"
            yield Problem(trigger.where, "spec.broker", text)
        yield from filters.problems(trigger)
        yield from _sink(trigger.subscriber, trigger.namespace, sinks, "spec.subscriber")
        yield from _delivery(trigger.delivery, trigger.namespace, sinks)


def _sources(manifests: Manifests, sinks: Sinks) -> Iterator[Problem]:
    for source in manifests.ping_sources:
        yield from _sink(source.sink, source.namespace, sinks, "spec.sink")
        yield from _ping(source)
    for binding in manifests.sink_bindings:
        yield from _sink(binding.sink, binding.namespace, sinks, "spec.sink")


def _ping(source: PingSource) -> Iterator[Problem]:
    now = datetime.now(UTC)
    try:
        next(ticks(source, now))
    except ValueError as error:
        path = "spec.timezone" if "time zone" in str(error) else "spec.schedule"
        yield Problem(source.where, path, str(error))
    try:
        validate(ping_event(source, now))
    except InvalidEvent as error:
        yield Problem(source.where, "spec", f"its event would be invalid: {error}")


def _delivery(delivery: Delivery, namespace: str, sinks: Sinks) -> Iterator[Problem]:
    if delivery.dead_letter_sink is not None:
        yield from _sink(delivery.dead_letter_sink, namespace, sinks, "spec.delivery.deadLetterSink")


def _sink(destination: Destination, namespace: str, sinks: Sinks, path: str) -> Iterator[Problem]:
    where: SourceLocation = destination.where
    try:
        sinks.resolve(destination, namespace)
    except SinkError as error:
        yield Problem(where, path, str(error))
