"""Knative's own manifests, from the pinned modules, made fit for one small node without a registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.node.admission.knative import FEATURES
from scripts.node.build import module_folder
from scripts.node.programs import PROGRAMS

from .images import image_name
from .place import ADDRESS, DOMAIN

Object = dict[str, Any]

_BUILT = "ko://"
_LEFT_OUT = frozenset(("HorizontalPodAutoscaler", "PodDisruptionBudget"))
"""Kinds that one node has no use for."""
_LEFT_OUT_NAMES = frozenset(("job-sink", "request-reply"))
"""Parts of Eventing that nothing here uses."""
_CPU_REQUEST = "10m"
"""Knative asks for a core and a half all told, of two."""
_PROBED_AFTER_S, _ANSWERS_WITHIN_S = 1, 10
_CHANNEL = "channels/in-memory-channel"
_NOT_BUILT = "dev.local/hadal-cluster/not-built"
_IMAGE_MAPS = {
    "transformations": ("transform-jsonata",),
    "integrations": (
        *(f"{name}-source" for name in ("timer", "aws-s3", "aws-sqs", "aws-ddb-streams")),
        *(f"{name}-sink" for name in ("log", "aws-s3", "aws-sqs", "aws-sns")),
    ),
}


def rounds(programs: Mapping[str, Path], envoy: str) -> Iterator[list[Object]]:
    """All objects; those of a round need those of the rounds before. `envoy` is its image's name."""
    images = {f"{_BUILT}{PROGRAMS[name].package}": image_name(path) for name, path in programs.items()}
    for paths in (_namespaces(), _definitions(), _settings_and_roles(), _deployments()):
        yield [_fitted(each, images, envoy) for path in paths for each in _read(path) if _is_wanted(each)]


def image_maps() -> list[Object]:
    """Eventing's controller doesn't start without these, although nothing here uses what they name."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"eventing-{name}-images", "namespace": "knative-eventing"},
            "data": dict.fromkeys(keys, _NOT_BUILT),
        }
        for name, keys in _IMAGE_MAPS.items()
    ]


def _namespaces() -> list[Path]:
    return [*_serving("100-namespace.yaml"), *_eventing("core/100-namespace.yaml"), *_kourier("100-")]


def _definitions() -> list[Path]:
    networking = module_folder("knative", "knative.dev/networking") / "config"
    caching = module_folder("knative", "knative.dev/caching") / "config"
    # Serving's links to these don't survive in a module.
    linked = [f"{name}.yaml" for name in ("certificate", "domain-claim", "ingress", "serverlessservice")]
    return [
        *_serving("300-resources"),
        *_eventing("core/resources", f"{_CHANNEL}/resources"),
        *(networking / name for name in linked),
        caching / "image.yaml",
    ]


def _settings_and_roles() -> list[Path]:
    return [
        *_serving("200-roles", "200-serviceaccount.yaml", "configmaps", "webhooks"),
        module_folder("knative", "knative.dev/networking") / "config" / "config-network.yaml",
        *_eventing("core/configmaps", "core/roles", "core/webhooks", "brokers/mt-channel-broker/roles"),
        *_eventing(*(f"{_CHANNEL}/{part}" for part in ("configmaps", "roles", "webhooks"))),
        *(path for folder in _eventing("core", _CHANNEL) for path in sorted(folder.glob("200-*.yaml"))),
        *_kourier("200-"),
    ]


def _deployments() -> list[Path]:
    return [
        *_serving("deployments", "999-cache.yaml"),
        *_eventing(*(f"{part}/deployments" for part in ("core", "brokers/mt-channel-broker", _CHANNEL))),
        *_kourier("300-"),
    ]


def _serving(*names: str) -> list[Path]:
    folder = module_folder("knative", "knative.dev/serving") / "config" / "core"
    return [folder / name for name in names]


def _eventing(*names: str) -> list[Path]:
    folder = module_folder("knative", "knative.dev/eventing") / "config"
    return [folder / name for name in names]


def _kourier(prefix: str) -> list[Path]:
    folder = module_folder("kourier", "knative.dev/net-kourier") / "config"
    return sorted(folder.glob(f"{prefix}*.yaml"))


def _read(path: Path) -> Iterator[Object]:
    for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
        yield from (each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each)


def _is_wanted(each: Object) -> bool:
    return each["kind"] not in _LEFT_OUT and each["metadata"].get("name") not in _LEFT_OUT_NAMES


def _fitted(each: Object, images: Mapping[str, str], envoy: str) -> Object:
    named: Object = _with_images(each, images)
    match named["kind"]:
        case "ConfigMap":
            _configure(named)
        case "Deployment":
            _make_small(named)
    _make_front_door(named, envoy)
    return named


def _with_images(value: Any, names: Mapping[str, str]) -> Any:
    """The same with every image's name replaced; one that isn't built is named after nothing."""
    match value:
        case dict():
            return {key: _with_images(each, names) for key, each in value.items()}
        case list():
            return [_with_images(each, names) for each in value]
        case str() if value.startswith(_BUILT):
            return names.get(value, _NOT_BUILT)
        case _:
            return value


def _make_small(deployment: Object) -> None:
    """It asks for little, is looked at soon, and isn't restarted because the machine is busy."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        container.get("resources", {}).get("requests", {}).update(cpu=_CPU_REQUEST, memory="32Mi")
        if "readinessProbe" in container:
            container["readinessProbe"].update(
                initialDelaySeconds=_PROBED_AFTER_S, periodSeconds=1, timeoutSeconds=_ANSWERS_WITHIN_S
            )
        if "livenessProbe" in container:
            container["livenessProbe"].update(timeoutSeconds=_ANSWERS_WITHIN_S, failureThreshold=12)


def _configure(settings: Object) -> None:
    """What this node sets."""
    data = settings.setdefault("data", {})
    match settings["metadata"]["namespace"], settings["metadata"]["name"]:
        case "knative-serving", "config-network":
            data["ingress-class"] = "kourier.ingress.networking.knative.dev"
        case "knative-serving", "config-domain":
            data[DOMAIN] = ""
        case "knative-serving", "config-features":
            (ours,) = _read(FEATURES)
            data.update(ours["data"])
        case "knative-serving", "config-deployment":
            data["queue-sidecar-cpu-request"] = _CPU_REQUEST
            data["queue-sidecar-memory-request"] = "32Mi"


def _make_front_door(each: Object, envoy: str) -> None:
    """Kourier's gateway with Envoy's image, which has no shell, at the node's own address."""
    match each["kind"], each["metadata"]["name"]:
        case "Deployment", "3scale-kourier-gateway":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            container["image"] = envoy
            del container["lifecycle"]
        case "Service", "kourier":
            each["spec"].update(type="ClusterIP", externalIPs=[ADDRESS])
