"""The manifests are what a cluster takes, and say no more rights than needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.house import BASE, MODEL_SERVICE, ROOT, container, functions, manifests, service

OVERLAYS = sorted(path.parent for path in (ROOT / "knative" / "overlays").glob("*/kustomization.yaml"))
LONGEST_TIMEOUT_S = 600
SERVING = "serving.knative.dev/v1"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to render with")


@pytest.mark.parametrize("name", [*functions(), MODEL_SERVICE])
def test_a_container_has_no_right_that_it_does_not_need(name: str) -> None:
    security = container(name)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("name", [*functions(), MODEL_SERVICE])
def test_a_service_runs_as_itself_without_a_cluster_token(name: str) -> None:
    account = next(item for item in manifests(BASE) if _identity(item) == ("ServiceAccount", name))
    spec = service(name)["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == name
    assert account["automountServiceAccountToken"] is spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", functions())
def test_a_function_is_probed_and_drained_as_the_contract_says(name: str) -> None:
    spec = service(name)["spec"]["template"]["spec"]
    probes = container(name)
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert 0 < spec["timeoutSeconds"] <= LONGEST_TIMEOUT_S
    variables = {entry["name"]: entry.get("value") for entry in probes["env"]}
    assert variables["GRACEFUL_TIMEOUT_S"] == str(spec["timeoutSeconds"])


@pytest.mark.parametrize("path", sorted(BASE.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scaling_annotation_says_why(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "autoscaling.knative.dev/" in line:
            assert re.search(r"  # \S", line), f"{path.name}: {line.strip()}"


def test_no_secret_value_stands_in_a_manifest() -> None:
    for item in [*manifests(ROOT / "knative"), *manifests(ROOT / "eventing")]:
        assert item.get("kind") != "Secret"
    for name in functions():
        for variable in container(name)["env"]:
            if re.search("SECRET|TOKEN|KEY", variable["name"]):
                assert "secretKeyRef" in variable["valueFrom"], variable["name"]


@needs_kubectl
@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_an_overlay_renders_every_service_with_a_store_of_its_own(overlay: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, check=True)
    items = list(yaml.safe_load_all(done.stdout))
    services = {item["metadata"]["name"]: item for item in items if item["apiVersion"] == SERVING}
    assert sorted(services) == sorted([*functions(), MODEL_SERVICE])
    assert {item["metadata"].get("namespace", "hadal") for item in items} == {"hadal"}
    stores = [
        variable
        for item in services.values()
        for variable in item["spec"]["template"]["spec"]["containers"][0].get("env", ())
        if variable["name"] == "HADAL_STORE"
    ]
    said = [str(store.get("value") or store["valueFrom"]) for store in stores]
    assert said and len(said) == len(set(said))


def _identity(item: dict[str, dict[str, str]]) -> tuple[object, str]:
    return item["kind"], item["metadata"]["name"]


def test_every_function_that_keeps_data_may_reach_its_store_in_production() -> None:
    overlay = ROOT / "knative/overlays/production/kustomization.yaml"
    patches = yaml.safe_load(overlay.read_text())["patches"]
    keep_data = {patch["target"]["name"] for patch in patches if "HADAL_STORE" in patch.get("patch", "")}
    policy = _production("NetworkPolicy", "out-to-stores")
    assert keep_data == set(policy["spec"]["podSelector"]["matchExpressions"][0]["values"])


def test_whatever_isn_t_allowed_is_closed_in_production() -> None:
    for name, direction in (("in-through-knative", "Ingress"), ("out-to-knative", "Egress")):
        spec = _production("NetworkPolicy", name)["spec"]
        assert spec["podSelector"] == {}
        assert spec["policyTypes"] == [direction]
        assert all(rule.get("to") or rule.get("from") for rule in spec[direction.lower()])


def _production(kind: str, name: str) -> dict[str, Any]:
    every = manifests(ROOT / "knative/overlays/production")
    return next(item for item in every if _identity(item) == (kind, name))
