from __future__ import annotations

import base64
import json

import pytest

from scripts.deployment import readiness
from tests.scripts.deployment.controllers import Controllers
from tests.scripts.deployment.inside.conftest import Place

NO_INGRESS = "the ingress of gateway names no privateLoadBalancer"
"""Where a deployment without containers ends: everything is applied and ready, and nobody answers."""


def test_a_deployment_goes_through_to_the_front_door_and_a_second_one_changes_nothing(
    place: Place, controllers: Controllers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.deploy() == 1
    said = capsys.readouterr().err
    assert NO_INGRESS in said
    assert "✓ triggers, bindings and sources" in said
    secrets = place.all("secrets")
    services = place.all("ksvc")
    assert set(secrets) == {
        "hadal-bootstrap",
        "hadal-key-encryption",
        "hadal-postgresql",
        "hadal-service-clients",
        "hadal-stores",
    }
    assert set(services) == {"auth", "chat", "gateway", "history", "inference", "summarize"}
    values = [base64.b64decode(v).decode() for each in secrets.values() for v in each["data"].values()]
    assert not any(value in said for value in values)
    assert len(set(values)) == 5 + 1  # five random ones, and the four addresses, which are the same

    assert place.deploy() == 1
    again = place.all("secrets")
    assert {n: s["metadata"]["resourceVersion"] for n, s in again.items()} == {
        n: s["metadata"]["resourceVersion"] for n, s in secrets.items()
    }
    for name, each in services.items():
        assert place.get("ksvc", name)["metadata"]["generation"] == each["metadata"]["generation"], name


def test_chat_has_the_brokers_address_from_its_first_revision_on(
    place: Place, controllers: Controllers
) -> None:
    place.deploy()
    chat = place.get("ksvc", "chat")
    variables = {
        each["name"]: each.get("value") for each in chat["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert variables["K_SINK"].endswith(f"/{place.namespace}/default")
    assert chat["status"]["latestCreatedRevisionName"] == "chat-00001"


def test_a_secret_gets_the_key_that_it_lacks_and_keeps_the_others(
    place: Place, controllers: Controllers
) -> None:
    place.deploy()
    before = place.get("secret", "hadal-service-clients")
    removed = json.dumps([{"op": "remove", "path": "/data/summarize"}])
    words = ("patch", "secret", "hadal-service-clients", "-n", place.namespace, "--type=json", "-p", removed)
    assert not place.kubectl.run(*words).returncode
    place.deploy()
    after = place.get("secret", "hadal-service-clients")
    assert after["data"]["history"] == before["data"]["history"]
    assert after["data"]["summarize"] != before["data"]["summarize"]


def test_a_function_that_cant_get_ready_is_named_with_its_conditions_and_the_next_run_goes_on(
    place: Place,
    controllers: Controllers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "FALSE_FOR_S", 0.5)
    controllers.broken["history"] = "Initial scale was never achieved"
    assert place.deploy() == 1
    said = capsys.readouterr().err
    assert "Service/history can't get ready" in said
    assert "Ready is False (RevisionFailed: Initial scale was never achieved)" in said
    assert "✗ functions" in said
    assert place.deploy() == 1
    assert "Service/history: history-00001 had failed, and is made once more" in capsys.readouterr().err
    controllers.broken.clear()
    monkeypatch.undo()
    assert place.deploy() == 1
    assert NO_INGRESS in capsys.readouterr().err


def test_pods_that_the_namespace_refuses_are_named_before_any_function_is_applied(
    place: Place, controllers: Controllers, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation"
    place.patch("summarize", {"op": "replace", "path": path, "value": True})
    assert place.deploy() == 1
    said = capsys.readouterr().err
    assert "Service/summarize: " in said
    assert "allowPrivilegeEscalation != false" in said
    assert place.all("ksvc") == {}


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    place: Place, controllers: Controllers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.deploy("--dry-run") == 0
    said = capsys.readouterr().out
    assert "  create   Service/gateway" in said
    assert "  make     Secret/hadal-bootstrap (token)" in said
    assert place.kubectl.run("get", "namespace", place.namespace).returncode
    place.deploy()
    place.patch("gateway", {"op": "replace", "path": "/spec/template/spec/timeoutSeconds", "value": 500})
    generation = place.get("ksvc", "gateway")["metadata"]["generation"]
    capsys.readouterr()
    assert place.deploy("--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("  create", "  change", "  make"))] == [
        "  change   Service/gateway"
    ]
    assert place.get("ksvc", "gateway")["metadata"]["generation"] == generation


def test_a_dry_run_names_what_knative_would_refuse(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.patch("gateway", {"op": "replace", "path": "/spec/template/spec/timeoutSeconds", "value": 5000})
    assert place.deploy("--dry-run") == 1
    assert "  refused  Service/gateway: " in capsys.readouterr().out


def test_a_canary_gets_its_share_until_it_is_promoted(place: Place, controllers: Controllers) -> None:
    place.deploy()
    place.patch("gateway", {"op": "replace", "path": "/spec/template/spec/timeoutSeconds", "value": 500})
    place.deploy("--canary", "10%")
    canary = {"latestRevision": True, "percent": 10, "tag": "canary"}
    rest = {"revisionName": "gateway-00001", "latestRevision": False, "percent": 90}
    assert place.get("ksvc", "gateway")["spec"]["traffic"] == [rest, canary]
    everything = [{"latestRevision": True, "percent": 100}]
    assert place.get("ksvc", "auth")["spec"]["traffic"] == everything
    place.deploy("--canary", "40%")
    assert place.get("ksvc", "gateway")["spec"]["traffic"] == [
        rest | {"percent": 60},
        canary | {"percent": 40},
    ]
    place.deploy()
    assert place.get("ksvc", "gateway")["spec"]["traffic"] == everything
    assert place.get("ksvc", "gateway")["status"]["latestReadyRevisionName"] == "gateway-00002"
