"""Which objects a patch is for (kustomize's `target`)."""

from __future__ import annotations

import re

from .problems import ManifestError, Problem
from .source import Map

FIELDS = ("group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector")


def matches(item: Map, target: Map, path: str) -> bool:
    """Whether `item` is meant. Group, version, kind, name and namespace are anchored regular expressions."""
    for key in target:
        if key not in FIELDS:
            text = f"is not known; there are {', '.join(FIELDS)}"
            raise ManifestError([Problem(target.at(key), f"{path}.{key}", text)])
    group, _, version = str(item["apiVersion"]).rpartition("/")
    metadata = item["metadata"]
    have = {
        "group": group,
        "version": version,
        "kind": str(item["kind"]),
        "name": str(metadata["name"]),
        "namespace": str(metadata.get("namespace", "")),
    }
    for key, value in have.items():
        if key in target and not _matches(str(target[key]), value, target, f"{path}.{key}"):
            return False
    return _selected(target, "labelSelector", metadata.get("labels"), path) and _selected(
        target, "annotationSelector", metadata.get("annotations"), path
    )


def _matches(pattern: str, value: str, target: Map, path: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        raise ManifestError([Problem(target.where, path, f"{pattern!r} is no regular expression")]) from None


def _selected(target: Map, key: str, have: Map | None, path: str) -> bool:
    selector = target.get(key)
    if selector is None:
        return True
    for term in str(selector).split(","):
        name, equals, value = term.strip().partition("=")
        if not equals or name.endswith("!"):
            text = f"{term.strip()!r} is not supported; write name=value, separated by commas"
            raise ManifestError([Problem(target.at(key), f"{path}.{key}", text)])
        if have is None or have.get(name) != value.removeprefix("="):
            return False
    return True
