"""One API server for all, a namespace and an overlay of its own for each test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from scripts.deployment import __main__ as deploy
from scripts.deployment import undeploy
from scripts.node.admission.admit import make_place
from scripts.node.admission.apiserver import Kubectl, api_server
from scripts.node.admission.knative import knative
from scripts.node.build import build, module_folder
from tests.architecture.house import ROOT
from tests.scripts.deployment.controllers import Controllers
from tests.scripts.deployment.inside.__main__ import PROGRAMS

collect_ignore_glob = [] if "HADAL_DEPLOYMENT_INSIDE" in os.environ else ["*"]
_NUMBERS = count(1)
IMAGES = ("hadal-functions", "hadal-inference", "hadal-postgresql")


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    programs = build(PROGRAMS)
    folder = tmp_path_factory.mktemp("api-server")
    path = folder / "programs"
    path.mkdir()
    for name in ("kubectl", "kn"):
        (path / name).symlink_to(programs[name])
    os.environ["PATH"] = f"{path}:{os.environ['PATH']}"
    with api_server(programs, folder) as admin, knative(programs, admin, folder):
        make_place(admin, "default")
        _broker_programs(admin)
        _node(admin)
        yield admin


@pytest.fixture
def controllers(kubectl: Kubectl) -> Iterator[Controllers]:
    running = Controllers(kubectl)
    running.start()
    yield running
    running.stop()
    assert not running.troubles


@dataclass(frozen=True)
class Place:
    """A namespace, an overlay, and the commands on it."""

    kubectl: Kubectl
    namespace: str
    overlay: Path

    def deploy(self, *words: str) -> int:
        return deploy.main(self._words(words))

    def undeploy(self, *words: str) -> int:
        return undeploy.main(self._words(words))

    def get(self, resource: str, name: str = "") -> Any:
        """What kubectl has of it; None where there is none."""
        named = [name] if name else []
        said = self.kubectl.run(
            "get", resource, *named, "-n", self.namespace, "--ignore-not-found", "-o", "json"
        )
        return json.loads(said.stdout) if said.stdout else None

    def all(self, resource: str) -> dict[str, Any]:
        """What there is of a resource, by name."""
        return {each["metadata"]["name"]: each for each in (self.get(resource) or {"items": []})["items"]}

    def patch(self, target: str, *operations: dict[str, Any]) -> None:
        """Change what the overlay says of a Knative Service from now on."""
        document = json.loads((self.overlay / "kustomization.yaml").read_text())
        document.setdefault("patches", []).append(
            {
                "target": {"group": "serving.knative.dev", "kind": "Service", "name": target},
                "patch": json.dumps(operations),
            }
        )
        (self.overlay / "kustomization.yaml").write_text(json.dumps(document))

    def _words(self, words: tuple[str, ...]) -> list[str]:
        return ["--kubeconfig", str(self.kubectl.kubeconfig), "--overlay", str(self.overlay), *words]


@pytest.fixture
def place(kubectl: Kubectl, tmp_path: Path) -> Place:
    namespace = f"hadal-{next(_NUMBERS)}"
    base = os.path.relpath(ROOT / "knative/overlays/node", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"namespace": namespace, "resources": [base]}))
    return Place(kubectl, namespace, tmp_path)


def _broker_programs(kubectl: Kubectl) -> None:
    """What serves the Brokers' class, as far as one can see it from outside."""
    channels = module_folder("knative", "knative.dev/eventing") / "config/channels/in-memory-channel"
    kubectl.apply("-f", str(channels / "resources"))
    for name in ("mt-broker-controller", "mt-broker-ingress", "mt-broker-filter"):
        labels = {"app": name}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "knative-eventing"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "it", "image": "dev.local/it"}]},
                },
            },
        }
        kubectl.apply("-f", "-", text=json.dumps(deployment))


def _node(kubectl: Kubectl) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}
    kubectl.apply("-f", "-", text=json.dumps(node))
    names = [{"names": [f"dev.local/{name}:latest"], "sizeBytes": 1} for name in IMAGES]
    status = json.dumps({"status": {"images": names}})
    assert not kubectl.run("patch", "node", "node", "--subresource=status", "-p", status).returncode
