from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.deployment.archives import held


@pytest.mark.parametrize("key", ["org.opencontainers.image.ref.name", "io.containerd.image.name"])
def test_an_archive_says_which_image_it_holds(tmp_path: Path, key: str) -> None:
    annotations = {key: "dev.local/app:1"}
    index = json.dumps({"manifests": [{"digest": "sha256:0a", "annotations": annotations}]}).encode()
    with tarfile.open(tmp_path / "app.oci.tar", "w") as tar:
        entry = tarfile.TarInfo("index.json")
        entry.size = len(index)
        tar.addfile(entry, io.BytesIO(index))
    assert held(tmp_path / "app.oci.tar") == ("dev.local/app:1", "sha256:0a")
