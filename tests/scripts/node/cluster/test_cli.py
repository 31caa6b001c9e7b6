"""What is said where there is no node, or can be none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.node.__main__ import main
from scripts.node.build import NodeError
from scripts.node.cluster import cli, daemons, objects, up
from scripts.node.cluster.place import ADDRESS, DOMAIN
from scripts.node.programs import PROGRAMS


@pytest.fixture(autouse=True)
def _no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "_RECORD", tmp_path / "processes.json")


def as_user(number: int) -> Callable[[], int]:
    return lambda: number


@pytest.mark.parametrize(
    "words", [["status"], ["logs"], ["kubectl", "get", "pods"], ["kn", "-h"], ["journeys"]]
)
def test_a_command_without_a_node_says_how_to_get_one(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", as_user(0))
    assert main(words) == 2
    assert capsys.readouterr().err == "scripts/cluster: there is no node: scripts/cluster up\n"


def test_only_root_may_use_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", as_user(1000))
    with pytest.raises(NodeError, match="sudo scripts/cluster"):
        cli.running()


def test_without_root_or_linux_another_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", as_user(1000))
    with pytest.raises(NodeError, match=r"sudo scripts/cluster up; or .*scripts/deploy --context NAME"):
        up.check_machine()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NodeError, match=r"Linux's namespaces; .*scripts/deploy --context NAME"):
        up.check_machine()


def manifest(kind: str, name: str, **more: object) -> objects.Object:
    return {"kind": kind, "metadata": {"name": name, "namespace": "knative-serving"}, **more}


def fitted(each: objects.Object) -> objects.Object:
    images = {f"ko://{program.package}": f"image-of-{name}" for name, program in PROGRAMS.items()}
    return objects._fitted(each, images, "image-of-envoy")


def test_images_are_those_that_were_built_wherever_they_are_named() -> None:
    container = {
        "image": "ko://knative.dev/eventing/cmd/in_memory/channel_controller",
        "env": [
            {
                "name": "DISPATCHER_IMAGE",
                "value": "ko://knative.dev/eventing/cmd/in_memory/channel_dispatcher",
            }
        ],
        "resources": {"requests": {"cpu": "125m"}},
        "readinessProbe": {"initialDelaySeconds": 20},
    }
    spec = {"template": {"spec": {"containers": [container]}}}
    (seen,) = fitted(manifest("Deployment", "imc", spec=spec))["spec"]["template"]["spec"]["containers"]
    assert seen["image"] == "image-of-eventing-channel-controller"
    assert seen["env"][0]["value"] == "image-of-eventing-channel-dispatcher"
    assert seen["resources"]["requests"]["cpu"] == "10m"
    assert seen["readinessProbe"]["initialDelaySeconds"] == 1


def test_the_settings_lead_services_to_the_nodes_own_door() -> None:
    domain = fitted(manifest("ConfigMap", "config-domain"))["data"]
    assert domain == {DOMAIN: ""}
    network = fitted(manifest("ConfigMap", "config-network", data={"autocreate": "x"}))["data"]
    assert network == {"autocreate": "x", "ingress-class": "kourier.ingress.networking.knative.dev"}
    door = fitted(manifest("Service", "kourier", spec={"type": "LoadBalancer", "ports": []}))["spec"]
    assert door == {"type": "ClusterIP", "ports": [], "externalIPs": [ADDRESS]}
