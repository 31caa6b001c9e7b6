"""OCI archives: which image one holds."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def held(archive: Path) -> tuple[str, str]:
    """The name with its tag, and the manifest's digest, by which containerd knows the image too."""
    with tarfile.open(archive) as tar:
        index = tar.extractfile("index.json")
        assert index is not None  # noqa: S101  it is a file of every archive
        manifest = json.load(index)["manifests"][0]
    annotations = manifest.get("annotations", {})
    name = next((annotations[key] for key in _NAMES if key in annotations), "")
    return str(name), str(manifest["digest"])
