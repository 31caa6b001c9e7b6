"""The manifests before Knative's own webhooks, which are built from source at the first run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.house import ROOT

SKIPPED = "CI" not in os.environ and (shutil.which("go") is None or not sys.platform.startswith("linux"))


def asks_knative(test: Callable[..., None]) -> Callable[..., None]:
    """Asks the real webhooks: minutes where nothing is built yet."""
    marks = (
        pytest.mark.slow,
        pytest.mark.timeout(3_000),
        pytest.mark.skipif(SKIPPED, reason="takes Go and Linux"),
    )
    for mark in marks:
        test = mark(test)
    return test


BROKEN = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: slow, namespace: hadal}
spec: {template: {spec: {timeoutSeconds: 5000, containers: [{image: dev.local/none}]}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: unreadable, namespace: hadal}
spec:
  broker: default
  filters: [{cesql: "type = "}]
  subscriber: {ref: {apiVersion: v1, kind: Service, name: chat}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: misspelt, namespace: hadal}
spec: {delivary: {retry: 3}}
"""


@asks_knative
def test_knative_takes_every_object_of_ours_and_refuses_broken_ones(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "kustomization.yaml").write_text("resources: [broken.yaml]\n")
    overlays = sorted(folder.name for folder in (ROOT / "knative" / "overlays").iterdir())
    done = subprocess.run(
        [ROOT / "scripts" / "cluster", "admit", *overlays, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    refused = [line for line in lines if line.startswith("refused")]
    assert {line.split()[-1] for line in refused} == {"Service/slow", "Trigger/unreadable", "Broker/misspelt"}
    assert {line.split()[1] for line in lines if line.startswith("accepted")} == set(overlays)
    assert "expected 0 <= 5000 <= 600: spec.template.spec.timeoutSeconds" in done.stdout
    assert "spec.filters[0].cesql" in done.stdout
    assert 'unknown field "spec.delivary"' in done.stdout
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nowhere", "/tmp"])
def test_an_overlay_that_is_none_is_named(name: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "cluster", "admit", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{name} is no overlay: give local, node, production" in done.stderr
    assert done.stderr.count("\n") == 1
