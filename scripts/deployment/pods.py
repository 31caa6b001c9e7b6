"""The pods that objects have made, before the namespace's Pod Security Standard."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .cluster import Cluster
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
    refusals = []
    for each in objects:
        pod = _pod(each)
        if pod is None:
            continue
        said = cluster.ask("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
        if said.status:
            refusals.append(f"{shown(each)}: {said.trouble}")
    return refusals


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
