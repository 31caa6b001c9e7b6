"""What is brought to the node, with a containerd that is a dictionary."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.deployment.archives import held
from scripts.deployment.machine import Told
from scripts.deployment.own_node import OwnNode
from scripts.deployment.postgresql_image import current
from tests.scripts.deployment.answering import Answering

FUNCTIONS, POSTGRESQL = "dev.local/hadal-functions", "dev.local/hadal-postgresql"


@dataclass
class Containerd:
    there: dict[str, str] = field(default_factory=dict)

    def images(self) -> dict[str, str]:
        return dict(self.there)

    def add(self, archive: Path) -> None:
        name, digest = held(archive)
        self.there[name] = digest


def write(archive: Path, image: str, digest: str) -> None:
    manifest = {"digest": digest, "annotations": {"org.opencontainers.image.ref.name": image}}
    index = json.dumps({"manifests": [manifest]}).encode()
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("index.json")
        entry.size = len(index)
        tar.addfile(entry, io.BytesIO(index))


def objects(folder: Path, image: str = FUNCTIONS) -> list[dict[str, Any]]:
    """A Service with a model on a volume, and a store's volume."""
    container = {
        "image": image,
        "env": [{"name": "MODEL_ID", "value": "/models/small"}],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}
    spec = {"template": {"spec": {"containers": [container], "volumes": [volume]}}}
    return [
        _object("serving.knative.dev/v1", "Service", "app", spec),
        _volume("models", folder / "models", "ReadOnlyMany"),
        _volume("store", folder / "store", "ReadWriteOnce"),
        _object("v1", "PersistentVolumeClaim", "models", {"volumeName": "models"}),
    ]


def _volume(name: str, folder: Path, mode: str) -> dict[str, Any]:
    spec = {"local": {"path": str(folder)}, "accessModes": [mode]}
    return _object("v1", "PersistentVolume", name, spec)


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def make_model(folder: Path, _told: Told) -> None:
    folder.mkdir(mode=0o700)
    (folder / "config.json").touch(mode=0o600)


@pytest.fixture
def node(tmp_path: Path) -> OwnNode:
    (tmp_path / "dist").mkdir()
    return OwnNode(
        tmp_path / "dist",
        Containerd(),
        lambda archive: write(archive, current(), "sha256:0f"),
        make_model,
    )


def test_an_image_is_imported_once_and_again_when_it_was_built_anew(node: OwnNode, tmp_path: Path) -> None:
    told: list[str] = []
    archive = node.dist / "hadal-functions.oci.tar"
    for digest, imports in (("sha256:0a", 1), ("sha256:0a", 0), ("sha256:0b", 1)):
        write(archive, f"{FUNCTIONS}:1", digest)
        told.clear()
        node.prepare(objects(tmp_path), told.append)
        assert told == [f"importing {archive}"] * imports
        assert node.containerd.images() == {f"{FUNCTIONS}:1": digest}


def test_what_lies_in_dist_goes_before_older_tags_on_the_node(node: OwnNode, tmp_path: Path) -> None:
    assert isinstance(node.containerd, Containerd)
    node.containerd.there = {f"{FUNCTIONS}:1": "sha256:0a", "dev.local/other:1": "sha256:0c"}
    write(node.dist / "hadal-functions.oci.tar", f"{FUNCTIONS}:2", "sha256:0b")
    assert node.images(Answering().cluster) == {
        f"{FUNCTIONS}:2": "sha256:0b",
        "dev.local/other:1": "sha256:0c",
    }


def test_an_image_that_no_container_runs_is_left_alone(node: OwnNode, tmp_path: Path) -> None:
    write(node.dist / "hadal-functions.oci.tar", f"{FUNCTIONS}:1", "sha256:0a")
    node.prepare(objects(tmp_path, "dev.local/other"), lambda _: None)
    assert node.containerd.images() == {}


def test_postgresqls_image_is_made_where_there_is_none_of_what_it_is_made_of_now(
    node: OwnNode, tmp_path: Path
) -> None:
    write(node.dist / "hadal-postgresql.oci.tar", f"{POSTGRESQL}:15-older", "sha256:0e")
    for _ in range(2):
        node.prepare(objects(tmp_path, POSTGRESQL), lambda _: None)
    assert node.containerd.images() == {current(): "sha256:0f"}


def test_the_volumes_are_folders_and_clearing_them_leaves_the_model(node: OwnNode, tmp_path: Path) -> None:
    node.prepare(objects(tmp_path), lambda _: None)
    assert (tmp_path / "models/small").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "models/small/config.json").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "store").is_dir()
    node.clear(objects(tmp_path), lambda _: None)
    assert (tmp_path / "models/small/config.json").exists()
    assert not (tmp_path / "store").exists()
