"""Processes by the pods that they are in, as this machine sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .cgroups import GROUP


def processes() -> Iterator[tuple[Path, str | None]]:
    """Each process (its folder in `/proc`), and the uid of its pod; None outside pods."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield process, _pod((process / "cgroup").read_text())
        except OSError:
            continue  # it has ended meanwhile


def _pod(groups: str) -> str | None:
    if f"/{GROUP}/" not in groups:
        return None
    return groups.partition("/pod")[2].partition("/")[0] or None
