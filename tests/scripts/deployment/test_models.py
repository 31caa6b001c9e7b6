from __future__ import annotations

from pathlib import Path

import yaml

from scripts.deployment.models import models_on_disk
from tests.architecture.house import ROOT, Manifest, manifests, service


def test_the_nodes_model_is_looked_for_behind_its_volume() -> None:
    overlay = ROOT / "knative/overlays/node"
    volumes: list[Manifest] = list(manifests(overlay))
    inference = service("inference")
    spec = inference["spec"]["template"]["spec"]
    for operation in yaml.safe_load((overlay / "inference-on-a-volume.yaml").read_text()):
        if operation["path"].endswith("/volumes/0"):
            spec["volumes"][0] = operation["value"]
        if operation["path"].endswith("/env/0"):
            spec["containers"][0]["env"][0] = operation["value"]
    assert list(models_on_disk([*volumes, inference])) == [
        Path("/var/lib/hadal/models/SmolLM2-135M-Instruct")
    ]


def test_a_model_that_is_fetched_needs_no_folder() -> None:
    assert list(models_on_disk([service("inference")])) == []
