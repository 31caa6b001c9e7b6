from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scripts.local.eventing import SinkError, Sinks, problems, sink_environment
from scripts.local.manifests.model import Delivery, Destination, Manifests, PingSource, SinkBinding

from .harness import HERE, broker, filters, manifests, service, trigger

MANIFESTS = Manifests(
    services=(service("chat"), service("history")),
    brokers=(broker(), broker("MTChannelBasedBroker", name="second")),
)
KAFKA_INGRESS = "http://kafka-broker-ingress.knative-eventing.svc.cluster.local/hadal/default"


def ref(kind: str, name: str, uri: str | None = None, namespace: str = "") -> Destination:
    return Destination(HERE, kind, namespace, name, uri)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("destination", "url", "target"),
    [
        (ref("Service", "chat"), "http://chat.hadal.svc.cluster.local", b"/"),
        (ref("Service", "chat", "/events"), "http://chat.hadal.svc.cluster.local/events", b"/events"),
        (
            ref("Service", "chat", "events?x=1"),
            "http://chat.hadal.svc.cluster.local/events?x=1",
            b"/events?x=1",
        ),
        (ref("Broker", "default"), KAFKA_INGRESS, b"/hadal/default"),
        (
            ref("Broker", "second"),
            "http://broker-ingress.knative-eventing.svc.cluster.local/hadal/second",
            b"/hadal/second",
        ),
        (Destination(HERE, uri=KAFKA_INGRESS), KAFKA_INGRESS, b"/hadal/default"),
        (Destination(HERE, uri="http://example.com:81/a?b=c"), "http://example.com:81/a?b=c", b"/a?b=c"),
    ],
)
def test_destinations_resolve_to_the_addresses_that_knative_gives(
    destination: Destination, url: str, target: bytes
) -> None:
    sink = Sinks(MANIFESTS).resolve(destination, "hadal")
    assert (sink.url, sink.target) == (url, target)


def test_what_is_inside_is_known_as_such_however_it_is_named() -> None:
    sinks = Sinks(MANIFESTS)
    assert (
        sinks.resolve(Destination(HERE, uri="http://chat.hadal.svc.cluster.local/x"), "hadal").name == "chat"
    )
    assert sinks.resolve(Destination(HERE, uri=KAFKA_INGRESS), "hadal").kind == "broker"
    outside = sinks.resolve(Destination(HERE, uri="https://example.com"), "hadal")
    assert (outside.kind, outside.host, outside.port, outside.tls) == ("server", "example.com", 443, True)


@pytest.mark.parametrize(
    ("destination", "text"),
    [
        (ref("Service", "absent"), "there is no Service hadal/absent; there are: hadal/chat, hadal/history"),
        (ref("Service", "chat", namespace="other"), "there is no Service other/chat"),
        (ref("Broker", "absent"), "there is no Broker hadal/absent"),
        (Destination(HERE), "neither ref nor uri"),
        (Destination(HERE, uri="ftp://example.com/"), "can't be sent to"),
        (Destination(HERE, uri="http://host:port/"), "is no URL"),
        (Destination(HERE, uri="http://example.com/a b"), "percent-encodes"),
        (Destination(HERE, uri="http://absent.hadal.svc.cluster.local/"), "names no Service"),
        (Destination(HERE, uri=KAFKA_INGRESS + "-2"), "names no Broker"),
    ],
)
def test_a_destination_that_leads_nowhere_says_why(destination: Destination, text: str) -> None:
    with pytest.raises(SinkError, match=text):
        Sinks(MANIFESTS).resolve(destination, "hadal")


def test_a_sink_binding_tells_its_services_where_to_send() -> None:
    binding = SinkBinding(
        "outbox", "hadal", HERE, ref("Broker", "default"), subject_name="chat", ce_overrides={"tenant": "x"}
    )
    sinks = Sinks(MANIFESTS)
    environment = sink_environment(service("chat"), [binding], sinks)
    assert environment["K_SINK"] == KAFKA_INGRESS
    assert json.loads(environment["K_CE_OVERRIDES"]) == {"extensions": {"tenant": "x"}}
    assert sink_environment(service("history"), [binding], sinks) == {}


def test_a_sink_binding_selects_by_labels_and_may_have_no_overrides() -> None:
    binding = SinkBinding("outbox", "hadal", HERE, ref("Broker", "default"), subject_labels={"outbox": "yes"})
    bound = replace(service("chat"), labels={"outbox": "yes"})
    assert sink_environment(bound, [binding], Sinks(MANIFESTS)) == {
        "K_SINK": KAFKA_INGRESS,
        "K_CE_OVERRIDES": "",
    }
    assert sink_environment(service("history"), [binding], Sinks(MANIFESTS)) == {}


def test_every_problem_is_found_before_anything_starts() -> None:
    nowhere = ref("Service", "absent")
    wrong = manifests(
        trigger("a", nowhere, filters=filters({"cesql": "TRUE FALSE"})),
        replace(trigger("b", ref("Broker", "default")), broker="absent"),
        trigger("c", ref("Broker", "default"), delivery=Delivery(dead_letter_sink=nowhere)),
        delivery=Delivery(dead_letter_sink=Destination(HERE, uri="gopher://x")),
        ping_sources=(
            PingSource("p", "hadal", HERE, "never", nowhere),
            PingSource("q", "hadal", HERE, "* * * * *", ref("Broker", "default"), "Nowhere/City"),
            PingSource(
                "r", "hadal", HERE, "* * * * *", ref("Broker", "default"), ce_overrides={"Bad-Name": "x"}
            ),
        ),
        sink_bindings=(SinkBinding("s", "hadal", HERE, nowhere),),
    )
    found = sorted((problem.path, problem.text.partition(";")[0]) for problem in problems(wrong))
    paths = [path for path, _ in found]
    assert paths.count("spec.sink") == 2
    assert set(paths) >= {
        "spec.broker",
        "spec.subscriber",
        "spec.filters[0].cesql",
        "spec.delivery.deadLetterSink",
        "spec.schedule",
        "spec.timezone",
        "spec",
    }
    assert ("spec.broker", "there is no Broker hadal/absent") in found


def test_a_class_that_is_not_emulated_is_refused() -> None:
    (problem,) = problems(manifests(klass="RabbitMQBroker"))
    assert (
        "'RabbitMQBroker' is no Broker class of the local runner; supported: Kafka, MTChannelBasedBroker"
        in str(problem)
    )


def test_right_manifests_have_no_problems() -> None:
    assert problems(MANIFESTS) == []
