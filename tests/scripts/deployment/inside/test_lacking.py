from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scripts.node.admission.apiserver import Kubectl
from tests.scripts.deployment.inside.conftest import Place

FLAG = "kubernetes.podspec-persistent-volume-claim"


@contextmanager
def feature(kubectl: Kubectl, value: str) -> Iterator[None]:
    def switch(to: str) -> None:
        patch = json.dumps({"data": {FLAG: to}})
        words = (
            "patch",
            "configmap",
            "config-features",
            "-n",
            "knative-serving",
            "--type=merge",
            "-p",
            patch,
        )
        assert not kubectl.run(*words).returncode

    switch(value)
    try:
        yield
    finally:
        switch("enabled")


def test_all_that_a_cluster_lacks_is_said_at_once_and_nothing_is_changed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "dev.local/nowhere"
    place.patch("auth", {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": nowhere})
    secret = {"name": "THEIRS", "valueFrom": {"secretKeyRef": {"name": "someone-elses", "key": "word"}}}
    place.patch("chat", {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": secret})
    with feature(place.kubectl, "disabled"):
        assert place.deploy() == 2
    said = capsys.readouterr().err
    assert f"- the feature {FLAG} of Knative Serving, which Service/inference needs" in said
    assert f"""'{{"data": {{"{FLAG}": "enabled"}}}}'""" in said
    assert "- the image dev.local/nowhere on a node" in said
    assert f"- the Secret someone-elses in the namespace {place.namespace} with word" in said
    assert place.kubectl.run("get", "namespace", place.namespace).returncode


def test_the_production_overlay_lacks_kafka_a_registry_and_its_stores_here(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts.deployment.__main__ import main

    words = ["--kubeconfig", str(place.kubectl.kubeconfig), "--overlay", "production"]
    assert main(words) == 2
    said = capsys.readouterr().err
    for lacking in (
        "the kind KafkaSink of eventing.knative.dev/v1alpha1",
        "the Broker class Kafka (no kafka-controller in knative-eventing)",
        "a registry for registry.example.com/hadal/functions:0.1.0",
        "the Secret hadal-stores in the namespace hadal with auth, chat, history, summarize",
    ):
        assert f"- {lacking}\n" in said
    assert main([*words, "--dry-run"]) == 1
    assert "  refused  KafkaSink/dead-letters: " in capsys.readouterr().out
