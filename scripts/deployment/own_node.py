"""The node of `scripts/cluster up`, which is this machine: its programs, its images, its disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

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
from .postgresql_image import current, make_postgresql

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


def fetch_model(folder: Path, told: Told) -> None:
    """Fetch and convert the default model, its checksums compared. `Unfit`."""
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


def _open_to_pods(folder: Path) -> None:
    """Let every user read what is in it, whatever the umask here; pods are none of this machine's users."""
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


@contextmanager
def _told() -> Iterator[None]:
    """What the node says against it, as a deployment's."""
    try:
        yield
    except NodeError as error:
        raise Unfit(str(error)) from None


class Containerd(Protocol):
    """Where the node's images are."""

    def images(self) -> Mapping[str, str]:
        """Those that are there, each with its digest."""

    def add(self, archive: Path) -> None:
        """Import an OCI archive."""


class NodesContainerd:
    """`Containerd` of the node that is up."""

    def images(self) -> Mapping[str, str]:
        """By `ctr`: `REF TYPE DIGEST …`, after a line of heads."""
        with _told():
            lines = ctr(running_namespaces(), "images", "list").splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, lines)}

    def add(self, archive: Path) -> None:
        """By `ctr`."""
        with _told():
            import_archive(archive, running_namespaces())


@dataclass(frozen=True, slots=True)
class OwnNode:
    """`Machines` of it.

    Attributes:
        dist: where `scripts/images build` puts its archives.
    """

    dist: Path = DIST
    containerd: Containerd = field(default_factory=NodesContainerd)
    make_postgresql: Callable[[Path], None] = make_postgresql
    fetch_model: Callable[[Path, Told], None] = fetch_model

    def images(self, cluster: Cluster) -> Mapping[str, str]:
        """As containerd says, and as `dist` has them, which are brought to it."""
        there = self.containerd.images()
        brought = {name: digest for name, (digest, _) in self._archives().items()}
        if current() in there:
            brought.setdefault(current(), there[current()])
        newer = {images.repository(name) for name in brought}
        kept = {name: each for name, each in there.items() if images.repository(name) not in newer}
        return kept | brought

    def prepare(self, objects: Sequence[Manifest], told: Told) -> None:
        """Import images, make the volumes' folders, fetch the model. `Unfit`."""
        wanted = {images.repository(image) for image in images.named(objects)}
        there = self.containerd.images()
        if POSTGRESQL in wanted and current() not in (*there, *self._archives()):
            told(f"making {POSTGRESQL} of Debian's packages, once")
            self.make_postgresql(self.dist / f"{POSTGRESQL.rpartition('/')[2]}.oci.tar")
        for name, (digest, archive) in self._archives().items():
            if images.repository(name) in wanted and there.get(name) != digest:
                told(f"importing {archive}")
                self.containerd.add(archive)
        for _, folder in local_volumes(objects):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in models_on_disk(objects):
            if not (folder / "config.json").is_file():
                self.fetch_model(folder, told)
                _open_to_pods(folder)

    def clear(self, objects: Sequence[Manifest], told: Told) -> None:
        """Delete the folders that pods write to; models stay, for they are slow to get."""
        for _, folder in written_volumes(objects):
            if folder.is_dir():
                shutil.rmtree(folder)
                told(f"deleted {folder}")

    def _archives(self) -> dict[str, tuple[str, Path]]:
        """The images that lie in `dist`, each with its digest and its archive."""
        found = {archive: held(archive) for archive in sorted(self.dist.glob("hadal-*.oci.tar"))}
        return {name: (digest, archive) for archive, (name, digest) in found.items()}
