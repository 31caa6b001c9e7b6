"""Knative's objects as a scenario writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .place import NAMESPACE, Manifest

IMAGE = "dev.local/hadal/probe:1"
COMMAND = ("python", "-P", "scripts/node/scenarios/probe.py")
"""From the image's working directory, which is the repository's root for the runner."""
CHANNEL, KAFKA = "MTChannelBasedBroker", "Kafka"
AUTOSCALING = "autoscaling.knative.dev"
SOON_AT_ZERO = {"window": "6s"}
"""The shortest that Knative takes. For who waits for it: what a probe remembers goes with its process."""


def service(
    name: str,
    env: Mapping[str, str] | None = None,
    *,
    scale: Mapping[str, object] | None = None,
    labels: Mapping[str, str] | None = None,
    traffic: Sequence[Mapping[str, object]] = (),
    readiness: Mapping[str, Any] | None = None,
    **spec: object,
) -> Manifest:
    """A Service that runs the probe; `scale` without the annotations' prefix, `spec` is the revision's."""
    annotations = {"max-scale": 1, **(scale or {})}
    container: dict[str, Any] = {
        "image": IMAGE,
        "command": list(COMMAND),
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    if readiness:
        container["readinessProbe"] = dict(readiness)
    template = {
        "metadata": {
            "annotations": {f"{AUTOSCALING}/{key}": str(value) for key, value in annotations.items()}
        },
        "spec": {**spec, "containers": [container]},
    }
    body: dict[str, Any] = {"template": template}
    if traffic:
        body["traffic"] = [dict(target) for target in traffic]
    return _object("serving.knative.dev/v1", "Service", name, body, labels=dict(labels or {}))


def broker(
    name: str,
    klass: str,
    delivery: Mapping[str, Any] | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A Broker of a class; without a dead letter sink of its own where `delivery` names none."""
    spec = {"delivery": dict(delivery)} if delivery else {}
    said = {"eventing.knative.dev/broker.class": klass, **(annotations or {})}
    return _object("eventing.knative.dev/v1", "Broker", name, spec, annotations=said)


def trigger(
    name: str,
    broker: str,
    subscriber: Manifest,
    filters: Sequence[Mapping[str, Any]] = (),
    delivery: Mapping[str, Any] | None = None,
    **more: object,
) -> Manifest:
    """A Trigger; `subscriber` is a destination."""
    spec: dict[str, Any] = {"broker": broker, "subscriber": dict(subscriber), **more}
    if filters:
        spec["filters"] = [dict(each) for each in filters]
    if delivery:
        spec["delivery"] = dict(delivery)
    return _object("eventing.knative.dev/v1", "Trigger", name, spec)


def ping_source(name: str, schedule: str, sink: Manifest, **spec: object) -> Manifest:
    """A PingSource."""
    return _object("sources.knative.dev/v1", "PingSource", name, {"schedule": schedule, "sink": sink, **spec})


def sink_binding(name: str, service: str, sink: Manifest, extensions: Mapping[str, str]) -> Manifest:
    """A SinkBinding of a Service."""
    subject = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": service}
    overrides = {"extensions": dict(extensions)}
    spec = {"subject": subject, "sink": sink, "ceOverrides": overrides}
    return _object("sources.knative.dev/v1", "SinkBinding", name, spec)


def to_service(name: str, path: str) -> Manifest:
    """A Service as a destination."""
    return {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}, "uri": path}


def to_broker(name: str) -> Manifest:
    """A Broker as a destination."""
    return {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": name}}


def delivery(retry: int, delay: str = "PT0.1S", policy: str = "linear", **more: object) -> dict[str, Any]:
    """How a Trigger delivers."""
    return {"retry": retry, "backoffDelay": delay, "backoffPolicy": policy, **more}


def _object(version: str, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Manifest:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, **{k: v for k, v in metadata.items() if v}},
        "spec": dict(spec),
    }
