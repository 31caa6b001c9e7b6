"""A strategic merge as kustomize does it for objects whose schema it doesn't know, such as Knative's.

Maps are merged, null removes, lists are replaced as a whole.
"""

from __future__ import annotations

from .problems import ManifestError, Problem
from .source import Map, duplicate


def merge(target: Map, patch: Map) -> None:
    """Change `target` by `patch`."""
    for key, value in patch.items():
        where = patch.at(key)
        if key == "$patch":
            if value == "replace":
                _replace(target, patch)
                return
            raise ManifestError([Problem(where, "$patch", "must be `replace` or `delete`")])
        if value is None or (isinstance(value, Map) and value.get("$patch") == "delete"):
            target.pop(key, None)
        elif isinstance(value, Map) and isinstance(target.get(key), Map):
            merge(target[key], value)
            if value and not target[key]:
                del target[key]  # nothing is left of it
        else:
            target.put(key, _without_nulls(duplicate(value)), where)


def _replace(target: Map, patch: Map) -> None:
    target.clear()
    for key, value in patch.items():
        if key != "$patch":
            target.put(key, duplicate(value), patch.at(key))


def _without_nulls(value: object) -> object:
    if isinstance(value, Map):
        for key in [key for key, child in value.items() if child is None]:
            del value[key]
        for child in value.values():
            _without_nulls(child)
    return value
