"""The objects of an overlay, and in which phase each is applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]
Identity = tuple[str, str, str]
"""Kind, namespace (empty for an object of the cluster), name."""

SERVING = "serving.knative.dev/v1"
NAMESPACE, STORES, BROKER, FUNCTIONS, TRIGGERS = PHASES = (
    "namespace and secrets",
    "stores",
    "broker",
    "functions",
    "triggers, bindings and sources",
)
_BROKER = {"Broker", "ConfigMap", "KafkaSink"}
_STORES = {"PersistentVolume", "PersistentVolumeClaim", "StatefulSet", "Deployment", "Service"}


def identity(manifest: Manifest) -> Identity:
    """What an object is known by."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def shown(manifest: Manifest) -> str:
    """What a person knows an object by."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def is_function(manifest: Manifest) -> bool:
    """Whether it is a Knative Service."""
    return bool(manifest["kind"] == "Service" and manifest["apiVersion"] == SERVING)


def phase_of(manifest: Manifest) -> str:
    """The phase that applies it."""
    if is_function(manifest):
        return FUNCTIONS
    if manifest["kind"] in _BROKER:
        return BROKER
    if ".knative.dev/" in manifest["apiVersion"]:
        return TRIGGERS
    return STORES if manifest["kind"] in _STORES else NAMESPACE


def of_phase(objects: Sequence[Manifest], phase: str) -> list[Manifest]:
    """The objects that a phase applies, namespaces before what is in them."""
    found = [each for each in objects if phase_of(each) == phase]
    return sorted(found, key=lambda each: each["kind"] != "Namespace")


def namespace_of(objects: Sequence[Manifest]) -> str:
    """The namespace that the functions live in."""
    return next(str(each["metadata"]["namespace"]) for each in objects if is_function(each))


def pod_spec(manifest: Manifest) -> Manifest | None:
    """The pods that an object has made, as their template says; None where it makes none."""
    template = manifest.get("spec", {}).get("template")
    return template["spec"] if isinstance(template, Mapping) and "spec" in template else None


def containers(manifest: Manifest) -> Iterator[Manifest]:
    """Every container of an object's pods."""
    spec = pod_spec(manifest) or {}
    yield from spec.get("containers", ())
    yield from spec.get("initContainers", ())


def volumes(manifest: Manifest) -> Iterator[Manifest]:
    """Every volume of an object's pods."""
    yield from (pod_spec(manifest) or {}).get("volumes", ())
