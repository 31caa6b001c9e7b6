"""The node of `scripts/cluster up`, which is this machine: its programs, its images, its disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.node.build import NodeError, build
from scripts.node.cluster.cli import running_namespaces
from scripts.node.cluster.images import ctr, import_archive
from scripts.node.cluster.place import KUBECONFIG

from . import images
from .archives import held
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

    def images(self, cluster: Cluster) -> Mapping[str, str]:
        """As containerd says, and as `dist/` has them, which are brought to it."""
        there, brought = _on_node(), _archives()
        newer = {images.repository(name) for name in brought}
        kept = {name: digest for name, digest in there.items() if images.repository(name) not in newer}
        return kept | {name: digest for name, (digest, _) in brought.items()}

    def prepare(self, objects: Sequence[Manifest], told: Told) -> None:
        """Import images from `dist/`, make the volumes' folders, fetch the model. `Unfit`."""
        wanted = {images.repository(image) for image in images.named(objects)}
        there = _on_node()
        if POSTGRESQL in wanted - {images.repository(name) for name in (*there, *_archives())}:
            told(f"making {POSTGRESQL} of Debian's packages, once")
            make_postgresql(DIST / f"{POSTGRESQL.rpartition('/')[2]}.oci.tar")
        for name, (digest, archive) in _archives().items():
            if images.repository(name) in wanted and there.get(name) != digest:
                told(f"importing {archive}")
                import_archive(archive, running_namespaces())
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


def _on_node() -> dict[str, str]:
    """The images of its containerd, each with its digest: `REF TYPE DIGEST …`, after a line of heads."""
    lines = ctr(running_namespaces(), "images", "list").splitlines()[1:]
    return {words[0]: words[2] for words in map(str.split, lines)}


def _archives() -> dict[str, tuple[str, Path]]:
    """The images that lie in `dist/`, each with its digest and its archive."""
    found = {archive: held(archive) for archive in sorted(DIST.glob("hadal-*.oci.tar"))}
    return {name: (digest, archive) for archive, (name, digest) in found.items()}


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
