"""Which of Knative Serving's features the Services use, of those that are off by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .objects import Manifest, is_function, pod_spec, shown, volumes

_POD = "kubernetes.podspec-"
BY_FIELD: Mapping[str, str] = {
    "affinity": f"{_POD}affinity",
    "dnsConfig": f"{_POD}dnsconfig",
    "dnsPolicy": f"{_POD}dnspolicy",
    "hostAliases": f"{_POD}hostaliases",
    "initContainers": f"{_POD}init-containers",
    "nodeSelector": f"{_POD}nodeselector",
    "priorityClassName": f"{_POD}priorityclassname",
    "runtimeClassName": f"{_POD}runtimeclassname",
    "schedulerName": f"{_POD}schedulername",
    "securityContext": f"{_POD}securitycontext",
    "tolerations": f"{_POD}tolerations",
    "topologySpreadConstraints": f"{_POD}topologyspreadconstraints",
}
"""By the field of the pod's `spec`."""
BY_VOLUME: Mapping[str, str] = {
    "csi": f"{_POD}volumes-csi",
    "ephemeral": f"{_POD}volumes-ephemeral",
    "hostPath": f"{_POD}volumes-hostpath",
    "image": f"{_POD}volumes-image",
    "persistentVolumeClaim": f"{_POD}persistent-volume-claim",
}
WRITTEN_CLAIM = f"{_POD}persistent-volume-write"
FIELD_REF = f"{_POD}fieldref"


def needed_features(objects: Sequence[Manifest]) -> dict[str, str]:
    """The features, each with one object that needs it."""
    return {feature: shown(each) for each in objects if is_function(each) for feature in _features(each)}


def _features(service: Manifest) -> set[str]:
    spec = pod_spec(service) or {}
    used = {feature for name, feature in BY_FIELD.items() if name in spec}
    for volume in volumes(service):
        used |= {feature for kind, feature in BY_VOLUME.items() if kind in volume}
        if not volume.get("persistentVolumeClaim", {"readOnly": True}).get("readOnly"):
            used.add(WRITTEN_CLAIM)
    variables = [entry for each in spec.get("containers", ()) for entry in each.get("env", ())]
    if any(_by_field(entry) for entry in variables):
        used.add(FIELD_REF)
    return used


def _by_field(variable: Mapping[str, Any]) -> bool:
    return not {"fieldRef", "resourceFieldRef"}.isdisjoint(variable.get("valueFrom", {}))
