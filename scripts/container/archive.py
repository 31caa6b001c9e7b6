"""What an OCI archive says of itself."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

_CHUNK_BYTES = 1 << 20


def layer_sizes(archive: Path) -> dict[str, int]:
    """The bytes that each layer takes unpacked, by its unpacked form's digest, from the lowest one up."""
    with tarfile.open(archive) as tar:
        manifest = _blob(tar, _json(tar, "index.json")["manifests"][0]["digest"])
        config = _blob(tar, manifest["config"]["digest"])
        sizes = [_unpacked_bytes(_open(tar, layer["digest"])) for layer in manifest["layers"]]
        return dict(zip(config["rootfs"]["diff_ids"], sizes, strict=True))


def config(archive: Path) -> dict[str, Any]:
    """The image's configuration: user, environment, entry point, labels."""
    with tarfile.open(archive) as tar:
        manifest = _blob(tar, _json(tar, "index.json")["manifests"][0]["digest"])
        whole: dict[str, Any] = _blob(tar, manifest["config"]["digest"])["config"]
        return whole


def bytes_above(sizes: dict[str, int], base: Collection[str]) -> int:
    """What an image adds to the layers of its base."""
    return sum(size for digest, size in sizes.items() if digest not in base)


def _json(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    assert member is not None  # noqa: S101 - a file of the archive
    return json.load(member)


def _blob(tar: tarfile.TarFile, digest: str) -> Any:
    return _json(tar, "blobs/" + digest.replace(":", "/"))


def _open(tar: tarfile.TarFile, digest: str) -> IO[bytes]:
    member = tar.extractfile("blobs/" + digest.replace(":", "/"))
    assert member is not None  # noqa: S101 - a file of the archive
    return member


def _unpacked_bytes(layer: IO[bytes]) -> int:
    packed = layer.read(2) == b"\x1f\x8b"
    if not packed:
        return layer.seek(0, 2)
    layer.seek(0)
    total = 0
    with gzip.open(layer) as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            total += len(chunk)
    return total
