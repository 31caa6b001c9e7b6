"""What Knative's and Kubernetes' controllers would write into statuses, where only an API server runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from scripts.node.admission.apiserver import Kubectl

WATCHED = (
    "services.serving.knative.dev",
    "brokers.eventing.knative.dev",
    "triggers.eventing.knative.dev",
    "pingsources.sources.knative.dev",
    "sinkbindings.sources.knative.dev",
    "statefulsets.apps",
    "persistentvolumeclaims",
    "persistentvolumes",
    "namespaces",
)
LOOK_EVERY_S = 0.1
Object = Mapping[str, Any]


class Controllers(threading.Thread):
    """Makes whatever it finds ready, except for the Services in `broken`, by name with the reason."""

    def __init__(self, kubectl: Kubectl) -> None:
        super().__init__(daemon=True)
        self.broken: dict[str, str] = {}
        self.troubles: list[str] = []
        self._kubectl = kubectl
        self._templates: dict[str, list[str]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            said = self._kubectl.run("get", ",".join(WATCHED), "-A", "-o", "json")
            for each in json.loads(said.stdout or '{"items": []}')["items"]:
                if "deletionTimestamp" in each["metadata"]:
                    self._let_go(each)
                elif ".knative.dev/" in each["apiVersion"] or each["kind"] == "StatefulSet":
                    self._reconcile(each)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _reconcile(self, each: Object) -> None:
        status = self._status(each)
        if each.get("status", {}) | status != each.get("status", {}):
            patch = json.dumps({"status": status})
            said = self._kubectl.run(
                "patch", *_named(each), "--subresource=status", "--type=merge", "-p", patch
            )
            if said.returncode and "NotFound" not in said.stderr:
                self.troubles.append(said.stderr)

    def _status(self, each: Object) -> dict[str, Any]:
        current = {"observedGeneration": each["metadata"]["generation"]}
        if each["kind"] == "StatefulSet":
            return {**current, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
        if each["kind"] == "Service":
            return {**current, **self._of_service(each)}
        conditions = [_condition("Ready", "True")]
        if each["kind"] == "Broker":
            name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
            url = f"http://broker-ingress.knative-eventing.svc.cluster.local/{namespace}/{name}"
            conditions.append(_condition("Addressable", "True"))
            return {**current, "conditions": conditions, "address": {"url": url}}
        return {**current, "conditions": conditions}

    def _of_service(self, each: Object) -> dict[str, Any]:
        name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
        seen = self._templates.setdefault(f"{namespace}/{name}", [])
        template = json.dumps(each["spec"]["template"], sort_keys=True)
        if template not in seen:
            seen.append(template)
        created = f"{name}-{seen.index(template) + 1:05d}"
        why = self.broken.get(name)
        said = ("False", "RevisionFailed", why) if why else ("True", "", "")
        ready = each.get("status", {}).get("latestReadyRevisionName") if why else created
        status = {
            "conditions": [_condition(kind, *said) for kind in ("Ready", "ConfigurationsReady")],
            "latestCreatedRevisionName": created,
            "url": f"http://{name}.{namespace}.example.com",
            "traffic": [
                {**target, "revisionName": target.get("revisionName") or ready or created}
                for target in each["spec"].get("traffic", [])
            ],
        }
        return status | ({"latestReadyRevisionName": ready} if ready else {})

    def _let_go(self, each: Object) -> None:
        """Nothing protects what is being deleted."""
        if each["kind"] == "Namespace":
            bare = {**each, "spec": {"finalizers": []}}
            path = f"/api/v1/namespaces/{each['metadata']['name']}/finalize"
            self._kubectl.run("replace", "--raw", path, "-f", "-", text=json.dumps(bare))
        elif each["metadata"].get("finalizers"):
            self._kubectl.run(
                "patch", *_named(each), "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
            )


def _named(each: Object) -> list[str]:
    group = each["apiVersion"].rpartition("/")[0]
    resource = f"{each['kind'].lower()}{'.' if group else ''}{group}"
    namespace = each["metadata"].get("namespace")
    return [resource, each["metadata"]["name"], *(["-n", namespace] if namespace else [])]


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    when = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": when}
