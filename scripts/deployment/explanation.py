"""Why an object isn't ready: its conditions, those of what it has made, and what its pods wrote last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .cluster import Cluster
from .objects import Manifest, is_function

LOG_LINES = 10
LINE_CHARACTERS = 300
OF_SERVICE = "serving.knative.dev/service"


def explanation(cluster: Cluster, manifest: Manifest, live: Manifest | None) -> str:
    """Lines for a person, indented; none of a Secret's."""
    if live is None:
        return "    it isn't there"
    lines = [*_conditions(live)]
    namespace = manifest["metadata"].get("namespace", "")
    if is_function(manifest):
        created = live.get("status", {}).get("latestCreatedRevisionName")
        revision = created and _read(cluster, namespace, "revision.serving.knative.dev", created)
        if revision:
            lines += [f"  revision {created}", *(f"  {line}" for line in _conditions(revision))]
    for pod in pods_of(cluster, manifest, live):
        lines += _pod(cluster, namespace, pod)
    return "\n".join(f"    {line}" for line in lines) or "    it has said nothing yet"


def last_words(cluster: Cluster, namespace: str) -> str:
    """What the functions that run wrote last, each line with its pod."""
    words = ("-l", OF_SERVICE, "-c", "user-container", f"--tail={LOG_LINES}", "--prefix")
    said = cluster.ask("logs", "-n", namespace, *words)
    lines = [f"    {line[:LINE_CHARACTERS]}" for line in said.out.splitlines()]
    return "\n".join(lines) or "    no function runs"


def _conditions(live: Manifest) -> Iterator[str]:
    """Those that don't hold."""
    status = live.get("status", {})
    if phase := status.get("phase"):
        yield f"phase {phase}"
    for each in status.get("conditions", ()):
        if each.get("status") != "True":
            said = ": ".join(filter(None, (each.get("reason"), each.get("message"))))
            yield f"{each['type']} is {each['status']}" + (f" ({said})" if said else "")


def pods_of(cluster: Cluster, manifest: Manifest, live: Manifest) -> list[Any]:
    """The newest revision's pods, or those that the object selects."""
    labels: Mapping[str, str] = {OF_SERVICE: manifest["metadata"]["name"]}
    if not is_function(manifest):
        selector = live.get("spec", {}).get("selector", {})
        labels = selector.get("matchLabels", {}) if isinstance(selector, Mapping) else {}
    if not labels:
        return []
    words = ("-l", ",".join(f"{key}={value}" for key, value in labels.items()))
    namespace = manifest["metadata"].get("namespace", "")
    pods = (cluster.read("get", "pods", "-n", namespace, *words, "-o", "json") or {}).get("items", [])
    newest = max((each["metadata"].get("creationTimestamp", "") for each in pods), default="")
    return [each for each in pods if each["metadata"].get("creationTimestamp", "") == newest]


def _pod(cluster: Cluster, namespace: str, pod: Mapping[str, Any]) -> Iterator[str]:
    name = pod["metadata"]["name"]
    yield f"pod {name}"
    yield from (f"  {line}" for line in _conditions(pod))
    for container in pod.get("status", {}).get("containerStatuses", ()):
        yield from (f"  {line}" for line in _states(container))
    container = pod["spec"]["containers"][0]["name"]
    for which in ((), ("--previous",)):  # one that has crashed said why before its restart
        words = ("logs", name, "-n", namespace, "-c", container, f"--tail={LOG_LINES}", *which)
        said = cluster.ask(*words)
        if said.status == 0 and said.out.strip():
            yield f"  {container} wrote last{' before its restart' if which else ''}:"
            yield from (f"    {line[:LINE_CHARACTERS]}" for line in said.out.splitlines())


def _states(container: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a container from running, and how it ended before."""
    for when in ("state", "lastState"):
        for state, about in container.get(when, {}).items():
            if state != "running":
                said = [str(about[key]) for key in ("reason", "message") if about.get(key)]
                said += [f"exit status {about['exitCode']}"] if "exitCode" in about else []
                before = "" if when == "state" else " before"
                yield f"{container['name']} {state}{before}: {', '.join(said)}"


def _read(cluster: Cluster, namespace: str, resource: str, name: str) -> Any:
    return cluster.read("get", resource, name, "-n", namespace, "-o", "json")
