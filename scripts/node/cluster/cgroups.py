"""The pods' control groups: a group of the node's own in every hierarchy of this machine (v1, v2 or both)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .place import LINK

GROUP = LINK
_ROOT = Path("/sys/fs/cgroup")
_COPIED = ("cpuset.cpus", "cpuset.mems")
_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


def make() -> None:
    """Make it where it isn't there; the kubelet makes its own below it."""
    for hierarchy in _hierarchies():
        group = hierarchy / GROUP
        group.mkdir(exist_ok=True)
        for name in _COPIED:  # a new cpuset of version 1 is empty, and no process may join it
            if (group / name).exists() and not (group / name).read_text().strip():
                (group / name).write_text((hierarchy / name).read_text())
        if (group / "cgroup.subtree_control").exists():
            _delegate(hierarchy)
            _delegate(group)


def remove() -> None:
    """Remove it and all below it; no process may be left in there."""
    for hierarchy in _hierarchies():
        group = hierarchy / GROUP
        for folder in sorted(_folders(group), key=lambda found: len(found.parts), reverse=True):
            folder.rmdir()


def _delegate(group: Path) -> None:
    """Version 2: let groups below this one have the controllers that it has."""
    there = (group / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in _CONTROLLERS if name in there)
    (group / "cgroup.subtree_control").write_text(wanted)


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and Path(folder).is_relative_to(_ROOT):
            yield Path(folder)


def _folders(group: Path) -> Iterator[Path]:
    if group.is_dir():
        yield group
        for child in group.iterdir():
            if child.is_dir():
                yield from _folders(child)
