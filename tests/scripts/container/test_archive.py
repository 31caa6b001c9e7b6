"""Sizes and configuration read out of an OCI archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.container.archive import bytes_above, config, layer_sizes
from scripts.container.progress import ImagesFailed


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two layers, one of them packed, of 5,000 and 300 bytes; an index within the index, as docker has it."""
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        layers = [_blob(tar, gzip.compress(bytes(5_000))), _blob(tar, b"x" * 300)]
        shown = {"rootfs": {"diff_ids": ["sha256:base", "sha256:ours"]}, "config": {"User": "65532:65532"}}
        manifest = {"config": _blob(tar, json.dumps(shown).encode()), "layers": layers}
        inner = {"manifests": [_blob(tar, json.dumps(manifest).encode()), {"digest": "sha256:attestation"}]}
        index = {"manifests": [_blob(tar, json.dumps(inner).encode())]}
        _add(tar, "index.json", json.dumps(index).encode())
    return path


def _blob(tar: tarfile.TarFile, data: bytes) -> dict[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    _add(tar, f"blobs/sha256/{digest}", data)
    return {"digest": f"sha256:{digest}"}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_layers_are_measured_unpacked(archive: Path) -> None:
    assert layer_sizes(archive) == {"sha256:base": 5_000, "sha256:ours": 300}


def test_what_the_base_has_isnt_counted(archive: Path) -> None:
    assert bytes_above(layer_sizes(archive), ["sha256:base"]) == 300


def test_the_configuration_is_the_images(archive: Path) -> None:
    assert config(archive) == {"User": "65532:65532"}


def test_what_is_no_oci_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "docker.tar"
    with tarfile.open(path, "w") as tar:
        _add(tar, "manifest.json", b"[]")
    with pytest.raises(
        ImagesFailed, match=r"docker\.tar is no OCI archive \(docker writes one from version 25"
    ):
        layer_sizes(path)
