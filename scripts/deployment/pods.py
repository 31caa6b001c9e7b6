"""The pods that objects have made, before the namespace's Pod Security Standard."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .cluster import AT_ONCE, Cluster
from .objects import Manifest, containers, is_function, pod_spec, shown

_KNATIVES_OWN = (
    "containerConcurrency",
    "timeoutSeconds",
    "idleTimeoutSeconds",
    "responseStartTimeoutSeconds",
)


def refused_pods(cluster: Cluster, objects: Sequence[Manifest]) -> list[str]:
    """Why pods of these objects may not come in; nothing is made.

    Their namespace and their service accounts are there. Knative refuses a Service's pods only once it makes
    them, minutes later and far from where a person looks.
    """
    pods = {shown(each): pod for each in objects if (pod := _pod(each))}

    def refusal(pod: Manifest) -> str:
        said = cluster.ask("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
        return said.trouble if said.status else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = dict(zip(pods, pool.map(refusal, pods.values()), strict=True))
    return [f"{name}: {why}" for name, why in said.items() if why]


def _pod(manifest: Manifest) -> dict[str, Any] | None:
    """One without probes, whose ports Knative fills in."""
    spec = pod_spec(manifest)
    if spec is None or not list(containers(manifest)):
        return None
    kept = {name: value for name, value in spec.items() if name not in _KNATIVES_OWN}
    kept["containers"] = [
        {"name": "user-container"}
        | {name: value for name, value in each.items() if not name.endswith("Probe")}
        for each in spec["containers"]
    ]
    metadata = manifest["metadata"]
    named = {"generateName": f"{metadata['name']}-", "namespace": metadata["namespace"]}
    if not is_function(manifest):
        named["labels"] = manifest["spec"]["template"].get("metadata", {}).get("labels", {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": kept}
