"""Which images the containers run: the overlay's, others in their places, and the tags that are meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .errors import Unfit
from .objects import Manifest, containers

NO_REGISTRY = "dev.local/"
"""Knative looks such a name up nowhere: the image is on the node, or it isn't."""


DIGEST = "hadal.dev/image-digest"


def named(objects: Sequence[Manifest]) -> list[str]:
    """Every image, once."""
    return sorted({str(each["image"]) for item in objects for each in containers(item)})


def repository(image: str) -> str:
    """An image's name without its tag or digest."""
    name = image.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def replaced(objects: Sequence[Manifest], wanted: Mapping[str, str]) -> list[Manifest]:
    """The objects with other images in the places of those that `wanted` names.

    Raises:
        Unfit: there is no such image.
    """
    there = {repository(image) for image in named(objects)}
    if unknown := sorted(set(wanted) - there):
        raise Unfit(f"no container runs {', '.join(unknown)}; there are {', '.join(sorted(there))}")
    return [_with(each, wanted) for each in objects]


def tagged(objects: Sequence[Manifest], on_nodes: Collection[str]) -> list[Manifest]:
    """The objects with the tags that the nodes have, for images without a registry that name none.

    Raises:
        Unfit: a node has several of one.
    """
    found: dict[str, str] = {}
    for image in named(objects):
        if image.startswith(NO_REGISTRY) and image == repository(image):
            tags = sorted(name for name in on_nodes if repository(name) == image and "@" not in name)
            if len(tags) > 1:
                raise Unfit(f"{image} is there more than once; choose: --image {image}={' or '.join(tags)}")
            if tags:
                found[image] = tags[0]
    return [_with(each, found) for each in objects]


def marked(objects: Sequence[Manifest], digests: Mapping[str, str]) -> list[Manifest]:
    """The objects with the digests of their images beside them, where these are known.

    So an image that was built anew under its old tag makes a new revision; where there is a registry, Knative
    asks it for the digest.
    """
    return [
        _marked(each, sorted({digests.get(str(c["image"]), "") for c in containers(each)} - {""}))
        for each in objects
    ]


def _marked(manifest: Manifest, digests: Sequence[str]) -> Manifest:
    if not digests:
        return manifest
    template = manifest["spec"]["template"]
    metadata = template.get("metadata", {})
    annotations = {**metadata.get("annotations", {}), DIGEST: ",".join(digests)}
    marked = {**template, "metadata": {**metadata, "annotations": annotations}}
    return {**manifest, "spec": {**manifest["spec"], "template": marked}}


def _with(value: Any, wanted: Mapping[str, str]) -> Any:
    """The same with every image replaced that `wanted` has by its name."""
    if isinstance(value, Mapping):
        changed = {key: _with(each, wanted) for key, each in value.items()}
        image = changed.get("image")
        return (
            changed | {"image": wanted.get(repository(image), image)} if isinstance(image, str) else changed
        )
    return [_with(each, wanted) for each in value] if isinstance(value, list) else value
