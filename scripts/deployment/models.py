"""The models that Services read from volumes on a node's disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .machine import local_volumes
from .objects import Manifest, containers, is_function, volumes

MODEL_ID = "MODEL_ID"


def models_on_disk(objects: Sequence[Manifest]) -> Iterator[Path]:
    """Their folders on the node: the volume's, and behind it what `MODEL_ID` says behind the mount's path."""
    claimed = _claims(objects)
    for service in filter(is_function, objects):
        mounted = {
            volume["name"]: claimed.get(volume.get("persistentVolumeClaim", {}).get("claimName", ""))
            for volume in volumes(service)
        }
        for container in containers(service):
            variables = {each["name"]: each.get("value", "") for each in container.get("env", ())}
            model = Path(variables.get(MODEL_ID, ""))
            for mount in container.get("volumeMounts", ()):
                folder = mounted.get(mount["name"])
                if folder and model.is_relative_to(mount["mountPath"]):
                    yield folder / model.relative_to(mount["mountPath"])


def _claims(objects: Sequence[Manifest]) -> dict[str, Path | None]:
    """The folder behind each claim."""
    folders = dict(local_volumes(objects))
    return {
        each["metadata"]["name"]: folders.get(each["spec"].get("volumeName", ""))
        for each in objects
        if each["kind"] == "PersistentVolumeClaim"
    }
