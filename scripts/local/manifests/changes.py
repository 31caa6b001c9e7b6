"""What is different between two sets of manifests."""

from __future__ import annotations

from .model import Manifests


def changes(before: Manifests, now: Manifests) -> dict[str, str]:
    """`added`, `changed` or `removed` for each object that isn't the same, by kind and name."""
    old, new = _objects(before), _objects(now)
    found = dict.fromkeys(old.keys() - new.keys(), "removed")
    found |= {name: "changed" if name in old else "added" for name in new if old.get(name) != new[name]}
    return {name: found[name] for name in sorted(found)}


def _objects(manifests: Manifests) -> dict[str, object]:
    groups = (
        manifests.services,
        manifests.brokers,
        manifests.triggers,
        manifests.ping_sources,
        manifests.sink_bindings,
    )
    return {f"{type(each).__name__} {each.namespace}/{each.name}": each for group in groups for each in group}
