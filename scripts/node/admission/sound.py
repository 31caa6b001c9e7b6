"""One sound object of each kind: what the corpus breaks, one field at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMESPACE = "corpus"
IMAGE = "dev.local/app"


def _object(version: str, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "spec": dict(spec),
    }


_BROKER = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}
APP = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "app"}
_DELIVERY = {"retry": 3, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S", "timeout": "PT5S"}

SOUND: Mapping[str, Mapping[str, Any]] = {
    "Service": _object(
        "serving.knative.dev/v1",
        "Service",
        "app",
        {
            "template": {
                "metadata": {
                    "annotations": {
                        "autoscaling.knative.dev/min-scale": "0",
                        "autoscaling.knative.dev/max-scale": "4",
                        "autoscaling.knative.dev/target": "8",
                    }
                },
                "spec": {
                    "timeoutSeconds": 60,
                    "containerConcurrency": 10,
                    "containers": [
                        {
                            "image": IMAGE,
                            "command": ["run"],
                            "env": [{"name": "COLOUR", "value": "blue"}],
                            "ports": [{"containerPort": 8080}],
                            "readinessProbe": {"httpGet": {"path": "/readyz"}},
                            "livenessProbe": {"httpGet": {"path": "/healthz"}},
                            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
                            "securityContext": {"runAsNonRoot": True},
                        }
                    ],
                },
            }
        },
        labels={"networking.knative.dev/visibility": "cluster-local"},
    ),
    "Broker": _object(
        "eventing.knative.dev/v1",
        "Broker",
        "default",
        {"delivery": _DELIVERY},
        annotations={"eventing.knative.dev/broker.class": "Kafka"},
    ),
    "Trigger": _object(
        "eventing.knative.dev/v1",
        "Trigger",
        "reaction",
        {
            "broker": "default",
            "filters": [{"exact": {"type": "a.b.c"}}],
            "subscriber": {"ref": APP, "uri": "/events"},
            "delivery": _DELIVERY,
        },
        annotations={"kafka.eventing.knative.dev/delivery.order": "ordered"},
    ),
    "PingSource": _object(
        "sources.knative.dev/v1",
        "PingSource",
        "ticks",
        {"schedule": "*/5 * * * *", "contentType": "application/json", "data": "{}", "sink": _BROKER},
    ),
    "SinkBinding": _object(
        "sources.knative.dev/v1",
        "SinkBinding",
        "app",
        {"subject": APP, "sink": _BROKER, "ceOverrides": {"extensions": {"tenant": "acme"}}},
    ),
}
