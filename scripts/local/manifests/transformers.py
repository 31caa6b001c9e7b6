"""What a kustomization changes in every object: namespace, labels, images."""

from __future__ import annotations

from typing import Any

from .model import SourceLocation
from .problems import ManifestError, Problem
from .source import Map

CLUSTER_SCOPED = frozenset(
    (
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
        "PersistentVolume",
        "PriorityClass",
        "StorageClass",
    )
)


def set_namespace(objects: list[Map], namespace: str, where: SourceLocation) -> None:
    """Put every object that lives in a namespace into this one."""
    for item in objects:
        if item["kind"] == "Namespace":
            item["metadata"].put("name", namespace, where)
        elif item["kind"] not in CLUSTER_SCOPED:
            item["metadata"].put("namespace", namespace, where)


def set_labels(objects: list[Map], entry: Map, path: str) -> None:
    """Add an entry's `pairs` to the metadata of every object."""
    for key in ("includeSelectors", "fields"):
        if entry.get(key):
            raise ManifestError([Problem(entry.at(key), f"{path}.{key}", "is not supported")])
    for item in objects:
        labels = item["metadata"].setdefault("labels", Map(entry.where))
        for key, value in (entry.get("pairs") or {}).items():
            labels.put(key, value, entry.where)


def set_images(value: Any, entry: Map) -> None:
    """Rename the image that an entry names, in every container below `value`."""
    if isinstance(value, Map):
        for key in ("containers", "initContainers"):
            for container in value.get(key) or ():
                if isinstance(container, Map) and isinstance(container.get("image"), str):
                    container["image"] = _renamed(container["image"], entry)
    if isinstance(value, (Map, list)):
        for child in value.values() if isinstance(value, Map) else value:
            set_images(child, entry)


def _renamed(image: str, entry: Map) -> str:
    name, digest, suffix = image, "", ""
    if "@" in image:
        name, _, digest = image.partition("@")
        suffix = f"@{digest}"
    elif ":" in image.rpartition("/")[2]:
        name, _, tag = image.rpartition(":")
        suffix = f":{tag}"
    if name != entry.get("name"):
        return image
    if "digest" in entry:
        suffix = f"@{entry['digest']}"
    elif "newTag" in entry:
        suffix = f":{entry['newTag']}"
    return f"{entry.get('newName', name)}{suffix}"
