"""From an overlay to `Manifests`: render, read every object, see that the names lead somewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from .environment import Values, read_config_map, read_secret
from .eventing import read_broker, read_ping_source, read_sink_binding, read_trigger
from .fields import Fields
from .kustomize import render
from .model import Broker, Manifests, PingSource, Service, SinkBinding, Trigger
from .problems import ManifestError, Problem
from .services import read_service
from .source import Map

IGNORED_KINDS = (
    "ClusterRole", "ClusterRoleBinding", "LimitRange", "Namespace", "NetworkPolicy", "PodDisruptionBudget",
    "PriorityClass", "ResourceQuota", "Role", "RoleBinding", "ServiceAccount",
)  # fmt: skip
"""Objects that say who may do what in a cluster; one machine has one user."""

HONOURED = (
    "serving.knative.dev/v1 Service",
    "eventing.knative.dev/v1 Broker",
    "eventing.knative.dev/v1 Trigger",
    "sources.knative.dev/v1 PingSource",
    "sources.knative.dev/v1 SinkBinding",
    "v1 ConfigMap",
    "v1 Secret",
)


def load(
    overlay: Path, root: Path, *, images: Collection[str], check: Callable[[Manifests], list[Problem]]
) -> Manifests:
    """Read an overlay, or raise `ManifestError` with every fault.

    Places are told relative to `root`; `images` are those that this machine has an environment for; `check`
    finds what the eventing half can't honour.
    """
    problems: list[Problem] = []
    values = Values()
    services: list[Service] = []
    brokers: list[Broker] = []
    triggers: list[Trigger] = []
    ping_sources: list[PingSource] = []
    sink_bindings: list[SinkBinding] = []
    # ConfigMaps and Secrets first: the variables of Services are read from them.
    for item in sorted(render(overlay, root), key=lambda each: each["kind"] not in ("ConfigMap", "Secret")):
        fields = Fields(item, item.where, "", problems)
        match f"{item['apiVersion']} {item['kind']}":
            case "serving.knative.dev/v1 Service":
                services.append(read_service(fields, values, images))
            case "eventing.knative.dev/v1 Broker":
                brokers.append(read_broker(fields))
            case "eventing.knative.dev/v1 Trigger":
                triggers.append(read_trigger(fields))
            case "sources.knative.dev/v1 PingSource":
                ping_sources.append(read_ping_source(fields))
            case "sources.knative.dev/v1 SinkBinding":
                sink_bindings.append(read_sink_binding(fields))
            case "v1 ConfigMap":
                read_config_map(fields, values)
            case "v1 Secret":
                read_secret(fields, values)
            case other:
                _refuse_kind(item, other, problems)
    manifests = Manifests(
        tuple(services), tuple(brokers), tuple(triggers), tuple(ping_sources), tuple(sink_bindings)
    )
    problems += [found for found in check(manifests) if not _told(found, problems)]
    problems += _unbound(manifests)
    if problems:
        raise ManifestError(problems)
    return manifests


def _refuse_kind(item: Map, kind: str, problems: list[Problem]) -> None:
    if item["kind"] in IGNORED_KINDS and "knative" not in item["apiVersion"]:
        return
    text = f"{kind} is not supported here; supported are {', '.join(HONOURED)}"
    problems.append(Problem(item.at("kind"), "kind", text))


def _told(found: Problem, problems: list[Problem]) -> bool:
    """Whether a fault of the same field, or of a part of it, is known already."""
    path = _dotted(found.path)
    return any(
        known.where.file == found.where.file and _dotted(known.path).startswith(path) for known in problems
    )


def _dotted(path: str) -> str:
    return path.replace("[", ".").replace("]", "")


def _unbound(manifests: Manifests) -> list[Problem]:
    """Bindings without a subject: on a cluster they would wait for it; here no other Service will come."""
    text = "there is no such Service in the manifests"
    return [
        Problem(binding.where, "spec.subject", text)
        for binding in manifests.sink_bindings
        if not any(binding.binds(service) for service in manifests.services)
    ]
