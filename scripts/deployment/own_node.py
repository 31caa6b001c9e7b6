"""The node of `scripts/cluster up`, which is this machine: its programs, its images, its disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.node.build import NodeError, build
from scripts.node.cluster.cli import running_namespaces
from scripts.node.cluster.images import ctr, import_archive
from scripts.node.cluster.place import KUBECONFIG

from . import images
from .cluster import Cluster, Tools
from .errors import Unfit
from .machine import Told, local_volumes, written_volumes
from .models import models_on_disk
from .objects import Manifest
from .postgresql_image import IMAGE as POSTGRESQL
from .postgresql_image import make_postgresql

ROOT = Path(__file__).resolve().parents[2]
DIST, ENGINE = ROOT / "dist", ROOT / "inference-svc"
DEFAULT_MODEL = "SmolLM2-135M-Instruct"


def own_tools() -> Tools:
    """The node's programs with its kubeconfig; they reach it from here.

    Raises:
        Unfit: there is no node, or this isn't root.
    """
    try:
        running_namespaces()
        programs = build(["kubectl", "kn"])
    except NodeError as error:
        raise Unfit(f"{error}; for another cluster: --context NAME") from None
    chosen = f"--kubeconfig={KUBECONFIG}"
    return Tools((str(programs["kubectl"]), chosen), (str(programs["kn"]), chosen))


class OwnNode:
    """`Machines` of it."""

    def images(self, cluster: Cluster) -> set[str]:
        """As containerd says, which knows at once what was imported."""
        return set(ctr(running_namespaces(), "images", "list", "-q").split())

    def prepare(self, objects: Sequence[Manifest], told: Told) -> None:
        """Import images from `dist/`, make the volumes' folders, fetch the model. `Unfit`."""
        there = {
            images.repository(name) for name in ctr(running_namespaces(), "images", "list", "-q").split()
        }
        for image in images.named(objects):
            if image.startswith(images.NO_REGISTRY) and images.repository(image) not in there:
                self._import(images.repository(image), told)
        for _, folder in local_volumes(objects):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in models_on_disk(objects):
            if not (folder / "config.json").is_file():
                _fetch_model(folder, told)

    def clear(self, objects: Sequence[Manifest], told: Told) -> None:
        """Delete the folders that pods write to; models stay, for they are slow to get."""
        for _, folder in written_volumes(objects):
            if folder.is_dir():
                shutil.rmtree(folder)
                told(f"deleted {folder}")

    def _import(self, image: str, told: Told) -> None:
        archive = DIST / f"{image.rpartition('/')[2]}.oci.tar"
        if image == POSTGRESQL and not archive.is_file():
            told(f"making {image} of Debian's packages, once")
            make_postgresql(archive)
        if archive.is_file():
            told(f"importing {archive}")
            import_archive(archive, running_namespaces())


def _fetch_model(folder: Path, told: Told) -> None:
    """Fetch and convert the default model, its checksums compared."""
    if folder.name != DEFAULT_MODEL:
        raise Unfit(f"there is no model in {folder}; put its folder (config.json, *.safetensors, …) there")
    told(f"fetching the model into {folder}")
    set_up = (sys.executable, "-S", "-m", "scripts.setup", "weights")
    prepare = (str(ENGINE / ".venv/bin/python"), "-m", "inference.prepare", "--default", "--out", str(folder))
    for words, where in ((set_up, ROOT), (prepare, ENGINE)):
        if subprocess.run(
            words, cwd=where, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr
        ).returncode:
            raise Unfit(f"the model couldn't be put into {folder}; the reason stands above")
