"""What a deployment needs of the machines under a cluster, beyond what Kubernetes gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .cluster import Cluster
from .objects import Manifest

Told = Callable[[str], None]


class Machines(Protocol):
    """The machines of a cluster."""

    def images(self, cluster: Cluster) -> Mapping[str, str]:
        """The images that are on them, or will be once they are prepared, by name and tag.

        Each with its digest, which is empty where it isn't known.
        """

    def prepare(self, objects: Sequence[Manifest], told: Told) -> None:
        """Bring images and volumes to them, before anything is applied; `Unfit` where that can't be done."""

    def clear(self, objects: Sequence[Manifest], told: Told) -> None:
        """Delete what pods have written on their disks."""


class Elsewhere:
    """Machines that only their operator can reach (docs/deploy.md says what there is to do)."""

    def images(self, cluster: Cluster) -> Mapping[str, str]:
        """As the nodes say, which name at most fifty each."""
        nodes = (cluster.read("get", "nodes", "-o", "json") or {}).get("items", [])
        return {
            str(name): ""
            for node in nodes
            for image in node.get("status", {}).get("images", ())
            for name in image.get("names") or ()
        }

    def prepare(self, objects: Sequence[Manifest], told: Told) -> None:
        """Nothing."""

    def clear(self, objects: Sequence[Manifest], told: Told) -> None:
        """Say where it lies."""
        for name, folder in written_volumes(objects):
            told(f"the volume {name} keeps its data: {folder} on the node")


def local_volumes(objects: Sequence[Manifest]) -> Iterator[tuple[str, Path]]:
    """Volumes on a node's disk: name and folder."""
    for each in objects:
        if each["kind"] == "PersistentVolume" and "local" in each["spec"]:
            yield each["metadata"]["name"], Path(each["spec"]["local"]["path"])


def written_volumes(objects: Sequence[Manifest]) -> Iterator[tuple[str, Path]]:
    """Those of them that pods write to."""
    written = {
        each["metadata"]["name"]
        for each in objects
        if each["kind"] == "PersistentVolume" and "ReadWriteOnce" in each["spec"]["accessModes"]
    }
    yield from ((name, folder) for name, folder in local_volumes(objects) if name in written)
