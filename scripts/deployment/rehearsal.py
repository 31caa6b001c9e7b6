"""`--dry-run`: what a deployment would do, phase by phase, as the API server itself says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .cluster import AT_ONCE, KNATIVES_OWN, Cluster
from .credentials import Credentials, wanted_keys
from .errors import NoCluster
from .images import marked, tagged
from .machine import Machines
from .objects import PHASES, Manifest, identity, namespace_of, of_phase, pod_spec, shown
from .requirements import survey

ANYWHERE = "default"
"""Every cluster has this namespace: objects are tried there where their own isn't made yet."""
_OF_THE_SERVER = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_OF_APPLYING = "kubectl.kubernetes.io/last-applied-configuration"


def rehearse(cluster: Cluster, machines: Machines, objects: Sequence[Manifest]) -> int:
    """Print the plan; 1 where something of it would be refused or lacks."""
    there = machines.images(cluster)
    objects = marked(tagged(objects, there), there)
    try:
        what, missing = survey(cluster, objects, there)
    except NoCluster as error:
        print(f"{error}\nWithout a cluster, this is what would be applied:")
        for phase in PHASES:
            print(phase)
            print("\n".join(f"  apply    {line}" for line in _blind(phase, objects)))
        return 0
    print(what)
    namespace = namespace_of(objects)
    credentials = Credentials(cluster, namespace, objects)
    missing += credentials.not_ours()
    for each in missing:
        print(f"  lacks    {each.what}\n           {each.cure}")
    refused = False
    for phase in PHASES:
        print(phase)
        if phase == PHASES[0]:
            for name, keys in credentials.lacking().items():
                print(f"  make     Secret/{name} ({', '.join(sorted(keys))})")
        for line, is_refused in _tried(cluster, of_phase(objects, phase), namespace):
            refused |= is_refused
            print(line)
    print("first API key, smoke test through the front door")
    return 1 if refused or missing else 0


def _blind(phase: str, objects: Sequence[Manifest]) -> Iterator[str]:
    yield from (shown(each) for each in of_phase(objects, phase))
    if phase == PHASES[0]:
        yield from (
            f"Secret/{name} ({', '.join(sorted(k))})" for name, k in sorted(wanted_keys(objects).items())
        )


def _tried(cluster: Cluster, objects: Sequence[Manifest], namespace: str) -> list[tuple[str, bool]]:
    """A line an object, and whether it would be refused."""
    live = cluster.live(cluster.known(objects))
    elsewhere = cluster.read("get", "namespace", namespace, "-o", "json") is None

    def line(manifest: Manifest) -> tuple[str, bool]:
        now = live.get(identity(manifest))
        tried = _moved(manifest) if elsewhere else manifest
        then, refusal = cluster.tried(tried, now)
        if then is None:
            return f"  refused  {shown(manifest)}: {refusal}", True
        word = "create" if now is None else "leave" if _core(now) == _core(then) else "change"
        return f"  {word:<8} {shown(manifest)}", False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(line, objects))


def _moved(manifest: Manifest) -> dict[str, Any]:
    metadata = manifest["metadata"]
    moved = {**metadata, "namespace": ANYWHERE} if "namespace" in metadata else metadata
    return {**manifest, "metadata": moved, **_without_account(manifest)}


def _without_account(manifest: Manifest) -> dict[str, Any]:
    """The `spec` of an object whose pods run as an account that isn't there: Knative tries a pod."""
    pods = pod_spec(manifest)
    if pods is None:
        return {}
    free = {name: value for name, value in pods.items() if name != "serviceAccountName"}
    spec = manifest["spec"]
    return {"spec": {**spec, "template": {**spec["template"], "spec": free}}}


def _core(manifest: Manifest) -> str:
    """What an applied object says, without what the server and the programs write beside it."""
    metadata: Mapping[str, Any] = manifest["metadata"]
    kept = {name: value for name, value in metadata.items() if name not in _OF_THE_SERVER}
    annotations = {k: v for k, v in kept.pop("annotations", {}).items() if not _is_written_beside(k)}
    rest = {name: value for name, value in manifest.items() if name not in ("metadata", "status")}
    return json.dumps([kept, annotations, rest], sort_keys=True)


def _is_written_beside(annotation: str) -> bool:
    return annotation == _OF_APPLYING or annotation.startswith(KNATIVES_OWN)
