"""When an object is ready, and waiting until all of them are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .cluster import Cluster
from .errors import Failed
from .explanation import explanation, pods_of
from .objects import Manifest, identity, is_function, shown

LOOK_EVERY_S = 0.5
READY_WITHIN_S = 300.0
FALSE_FOR_S = 20.0
"""Controllers say False while something comes that they wait for; this long means that it doesn't come."""
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
PROGRESS_DEADLINE_S = 600.0
AFTER_DEADLINE_S = 60.0
COUNTED = ("StatefulSet", "Deployment")
Told = Callable[[Manifest, float], None]


def has_readiness(manifest: Manifest) -> bool:
    """Whether its kind says at all when it is ready."""
    return manifest["kind"] in COUNTED or ".knative.dev/" in manifest["apiVersion"]


def verdict(live: Manifest | None) -> str:
    """`True`, `False` (its controller says that it can't be) or `Unknown`, of the text that is there now."""
    if live is None:
        return "Unknown"
    status = live.get("status", {})
    if live["kind"] in COUNTED:
        return _counted(live, status)
    if status.get("observedGeneration") != live["metadata"].get("generation"):
        return "Unknown"
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return str(conditions.get("Ready", "Unknown"))


def failed_revision(service: Manifest) -> str | None:
    """The newest revision of a Service where it has failed for good; no requests lead to it then."""
    status = service.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    created, ready = (status.get(f"latest{which}RevisionName") for which in ("Created", "Ready"))
    has_failed = verdict(service) == conditions.get("ConfigurationsReady") == "False"
    return str(created) if has_failed and created and created != ready else None


def _counted(live: Manifest, status: Mapping[str, Any]) -> str:
    wanted = live["spec"].get("replicas", 1)
    current = status.get("observedGeneration") == live["metadata"].get("generation")
    there = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    return "True" if current and there >= wanted else "Unknown"


def patience_s(manifest: Manifest) -> float:
    """How long an object may take."""
    if not is_function(manifest):
        return READY_WITHIN_S
    annotations = manifest["spec"]["template"].get("metadata", {}).get("annotations", {})
    return _seconds(annotations.get(PROGRESS_DEADLINE, ""), PROGRESS_DEADLINE_S) + AFTER_DEADLINE_S


def wait_until_ready(cluster: Cluster, manifests: Sequence[Manifest], told: Told) -> None:
    """Return when all are ready; each is told once it is, with the seconds since the start.

    Raises:
        Failed: one isn't in time, or stays False; with its conditions and what its pods wrote last.
    """
    began_s = time.monotonic()
    waiting = {identity(each): each for each in manifests if has_readiness(each)}
    false_since_s: dict[Any, float] = {}
    while waiting:
        live = cluster.live(list(waiting.values()))
        now_s = time.monotonic()
        for key, manifest in list(waiting.items()):
            says = verdict(live.get(key))
            if (
                says == "Unknown"
                and manifest["kind"] in COUNTED
                and _is_stuck(cluster, manifest, live.get(key))
            ):
                says = "False"
            if says == "True":
                told(waiting.pop(key), now_s - began_s)
                continue
            since_s = false_since_s.setdefault(key, now_s)
            if says != "False":
                del false_since_s[key]
            if now_s - began_s > patience_s(manifest):
                _give_up(cluster, manifest, live.get(key), f"isn't ready after {now_s - began_s:.0f} s")
            if says == "False" and now_s - since_s > FALSE_FOR_S:
                _give_up(cluster, manifest, live.get(key), "can't get ready")
        if waiting:
            time.sleep(LOOK_EVERY_S)


def _is_stuck(cluster: Cluster, manifest: Manifest, live: Manifest | None) -> bool:
    """Whether a container is begun again and again; its controller says nothing of that."""
    pods = pods_of(cluster, manifest, live) if live else []
    waiting = (
        container.get("state", {}).get("waiting", {}).get("reason", "")
        for pod in pods
        for container in pod.get("status", {}).get("containerStatuses", ())
    )
    return any(reason.endswith("BackOff") for reason in waiting)


def _give_up(cluster: Cluster, manifest: Manifest, live: Manifest | None, why: str) -> None:
    raise Failed(f"{shown(manifest)} {why}\n{explanation(cluster, manifest, live)}")


def _seconds(text: str, otherwise: float) -> float:
    """Of a duration as Go writes it: 600s, 10m, 1h30m."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|m(?!s)|s)", text)
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(float(number) * units[unit] for number, unit in parts) if parts else otherwise
