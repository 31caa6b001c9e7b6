"""Every object of an overlay, applied with a server-side dry run: what Knative says to each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.node.build import NodeError

from . import kafka
from .apiserver import Kubectl

_BEFORE_OTHERS = ("Namespace", "ServiceAccount")
_KNATIVES_OWN = ("containerConcurrency", "timeoutSeconds")
_AROUND = re.compile(
    r'Error from server \(\w+\): |error when \w+ "[^"]*": |admission webhook "[^"]+" denied the request: '
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said to an object.

    Attributes:
        refusal: why it may not come in, or None.
        by_schema: Knative wasn't asked: its definition of this kind can't be had.
    """

    kind: str
    name: str
    refusal: str | None
    by_schema: bool = False


def rendered(kubectl: Kubectl, overlay: Path) -> list[dict[str, Any]]:
    """The overlay's objects.

    Raises:
        NodeError: it can't be rendered.
    """
    done = kubectl.run("kustomize", str(overlay))
    if done.returncode:
        raise NodeError(f"{overlay} can't be rendered: {done.stderr.strip()}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def verdicts(kubectl: Kubectl, objects: list[dict[str, Any]]) -> Iterator[Verdict]:
    """One for each object, in order.

    Namespaces and service accounts are really made before: the others are looked at with them in place.
    A Knative Service that may come in is followed by the Pod that it runs in.
    """
    for namespace in sorted({o["metadata"]["namespace"] for o in objects if "namespace" in o["metadata"]}):
        make_place(kubectl, namespace)
    for document in objects:
        if document["kind"] in _BEFORE_OTHERS:
            kubectl.apply("-f", "-", text=json.dumps(document))
    for document in objects:
        said = verdict(kubectl, document)
        yield said
        if said.refusal is None and document["apiVersion"].startswith("serving.knative.dev/"):
            yield verdict(kubectl, pod(document))


def pod(service: Mapping[str, Any]) -> dict[str, Any]:
    """The Pod that a Knative Service runs in: its namespace's Pod Security Standard is what may refuse it.

    Without the probes, whose ports Knative fills in, and without Knative's own sidecar.
    """
    metadata, template = service["metadata"], service["spec"]["template"]["spec"]
    spec = {name: value for name, value in template.items() if name not in _KNATIVES_OWN}
    spec["containers"] = [
        {"name": "user-container"}
        | {name: value for name, value in container.items() if not name.endswith("Probe")}
        for container in spec["containers"]
    ]
    labels = {"serving.knative.dev/service": metadata["name"]}
    named = {"name": metadata["name"], "namespace": metadata["namespace"], "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec}


def make_place(kubectl: Kubectl, namespace: str) -> None:
    """A namespace with its default service account, which no controller makes here."""
    kubectl.apply("-f", "-", text=json.dumps(_named("Namespace", namespace)))
    kubectl.apply("-f", "-", text=json.dumps(_named("ServiceAccount", "default", namespace)))


def verdict(kubectl: Kubectl, document: Mapping[str, Any]) -> Verdict:
    """What is said to one object, whose namespace is there."""
    kind, name = document["kind"], document["metadata"]["name"]
    if (document["apiVersion"], kind) in kafka.SCHEMAS:
        return Verdict(kind, name, kafka.refusal(document), by_schema=True)
    answer = kubectl.run(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", text=json.dumps(document)
    )
    return Verdict(kind, name, None if answer.returncode == 0 else reason(answer.stderr))


def reason(said: str) -> str:
    """Why an object was refused, without kubectl's words around it."""
    lines = [line for line in said.splitlines() if not line.startswith("Warning: ")]
    return _AROUND.sub("", " ".join(" ".join(lines).split()))


def _named(kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} | ({} if namespace is None else {"namespace": namespace})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}
