"""What an OCI archive says of itself."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from .progress import ImagesFailed

_CHUNK_BYTES = 1 << 20


def layer_sizes(archive: Path) -> dict[str, int]:
    """The bytes that each layer takes unpacked, by its unpacked form's digest, from the lowest one up.

    Raises:
        ImagesFailed: it is no OCI archive.
    """
    with tarfile.open(archive) as tar:
        manifest = _manifest(tar)
        sizes = [_unpacked_bytes(_open(tar, layer["digest"])) for layer in manifest["layers"]]
        digests = _blob(tar, manifest["config"]["digest"])["rootfs"]["diff_ids"]
        return dict(zip(digests, sizes, strict=True))


def config(archive: Path) -> dict[str, Any]:
    """The image's configuration: user, environment, entry point, labels.

    Raises:
        ImagesFailed: it is no OCI archive.
    """
    with tarfile.open(archive) as tar:
        whole: dict[str, Any] = _blob(tar, _manifest(tar)["config"]["digest"])["config"]
        return whole


def bytes_above(sizes: dict[str, int], base: Collection[str]) -> int:
    """What an image adds to the layers of its base."""
    return sum(size for digest, size in sizes.items() if digest not in base)


def _manifest(tar: tarfile.TarFile) -> Any:
    """The one image's; some tools put an index into the index, whose later entries are attestations."""
    found = json.load(_file(tar, "index.json"))
    while "manifests" in found:
        found = _blob(tar, found["manifests"][0]["digest"])
    return found


def _blob(tar: tarfile.TarFile, digest: str) -> Any:
    return json.load(_open(tar, digest))


def _open(tar: tarfile.TarFile, digest: str) -> IO[bytes]:
    return _file(tar, "blobs/" + digest.replace(":", "/"))


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise ImagesFailed(f"{tar.name!s} is no OCI archive (docker writes one from version 25 on)")
    return file


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
