"""Knative's definitions and its two webhooks, as processes that the API server reaches."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.node.build import module_folder
from scripts.node.processes import running, wait_until

from .apiserver import Kubectl
from .network import ADDRESS

FEATURES = Path(__file__).resolve().parents[3] / "knative" / "features.yaml"
"""What the overlays need switched on."""
_READY_S = 60.0
_FILLED_IN = "{.webhooks[0].clientConfig.caBundle}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One of the two.

    Attributes:
        configuration: by which the API server knows it; it fills its certificate in when it is ready.
        broken: the kind and `spec` of an object that it refuses, and nothing before it does.
    """

    program: str
    namespace: str
    service: str
    port: int
    configuration: str
    settings: Mapping[str, str]
    broken: tuple[str, str, Mapping[str, Any]]


WEBHOOKS = (
    Webhook(
        "serving-webhook",
        "knative-serving",
        "webhook",
        8443,
        "validation.webhook.serving.knative.dev",
        {},
        (
            "serving.knative.dev/v1",
            "Service",
            {"template": {"spec": {"timeoutSeconds": -1, "containers": [{"image": "dev.local/none"}]}}},
        ),
    ),
    Webhook(
        "eventing-webhook",
        "knative-eventing",
        "eventing-webhook",
        8444,
        "validation.webhook.eventing.knative.dev",
        {"SINK_BINDING_SELECTION_MODE": "exclusion"},
        ("eventing.knative.dev/v1", "Trigger", {"broker": "none", "subscriber": {}}),
    ),
)


@contextmanager
def knative(programs: Mapping[str, Path], kubectl: Kubectl, folder: Path) -> Iterator[None]:
    """Knative's admission is there until the block ends.

    Raises:
        NodeError: something of it couldn't be applied, or doesn't get ready.
    """
    _define(kubectl)
    with ExitStack() as stack:
        for webhook in WEBHOOKS:
            kubectl.apply("-f", "-", text=json.dumps(_endpoint(webhook)))
            log = folder / f"{webhook.program}.log"
            process = stack.enter_context(
                running([str(programs[webhook.program])], log, _environment(webhook, kubectl))
            )
            wait_until(
                f"{webhook.program} isn't ready",
                lambda webhook=webhook: _is_ready(kubectl, webhook),  # type: ignore[misc]
                process,
                log,
                _READY_S,
            )
        yield


def _define(kubectl: Kubectl) -> None:
    serving = module_folder("knative", "knative.dev/serving") / "config/core"
    eventing = module_folder("knative", "knative.dev/eventing") / "config/core"
    networking = module_folder("knative", "knative.dev/networking") / "config"
    caching = module_folder("knative", "knative.dev/caching") / "config"
    definitions = [f"{name}.yaml" for name in ("certificate", "domain-claim", "ingress", "serverlessservice")]
    for round_ in (  # what a round is made of must be there before the next
        [serving / "100-namespace.yaml", eventing / "100-namespace.yaml"],
        [
            serving / "300-resources",
            eventing / "resources",
            *(networking / name for name in definitions),  # serving's links to them don't survive in a module
            caching / "image.yaml",
        ],
        [
            serving / "configmaps",
            networking / "config-network.yaml",
            eventing / "configmaps",
            serving / "webhooks",
            eventing / "webhooks",
        ],
        [FEATURES],
    ):
        kubectl.apply(*(word for path in round_ for word in ("-f", str(path))))


def _endpoint(webhook: Webhook) -> dict[str, Any]:
    """A Service without selector, and where it leads."""
    named = {"name": webhook.service, "namespace": webhook.namespace}
    port = "https-webhook"
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": named,
                "spec": {"ports": [{"name": port, "port": 443, "targetPort": webhook.port}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**named, "labels": {"kubernetes.io/service-name": webhook.service}},
                "addressType": "IPv4",
                "ports": [{"name": port, "port": webhook.port}],
                "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
            },
        ],
    }


def _environment(webhook: Webhook, kubectl: Kubectl) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "KUBECONFIG": str(kubectl.kubeconfig),
        "SYSTEM_NAMESPACE": webhook.namespace,
        "POD_NAME": f"{webhook.program}-0",
        "WEBHOOK_NAME": webhook.service,
        "WEBHOOK_PORT": str(webhook.port),
        "CONFIG_LOGGING_NAME": "config-logging",
        "CONFIG_OBSERVABILITY_NAME": "config-observability",
        **webhook.settings,
    }


def _is_ready(kubectl: Kubectl, webhook: Webhook) -> bool:
    """Whether it has its certificate in the configuration, and is called."""
    filled_in = kubectl.run(
        "get", "validatingwebhookconfiguration", webhook.configuration, "-o", f"jsonpath={_FILLED_IN}"
    )
    return bool(filled_in.stdout.strip()) and _is_called(kubectl, webhook)


def _is_called(kubectl: Kubectl, webhook: Webhook) -> bool:
    """Whether the API server gets an answer from it."""
    version, kind, spec = webhook.broken
    metadata = {"name": "broken", "namespace": "default"}
    broken = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    answer = kubectl.run("apply", "--dry-run=server", "-f", "-", text=json.dumps(broken))
    return f'"{webhook.configuration}" denied the request' in answer.stderr
