"""`scripts/cluster status`: what runs, and what it takes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.node.admission.apiserver import Kubectl

from .cgroups import GROUP
from .daemons import Daemons

_PSS = "Pss:"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the cluster; `memory_bytes` counts what is shared once (PSS)."""

    name: str
    state: str
    memory_bytes: int


def parts(daemons: Daemons, kubectl: Kubectl) -> Iterator[Part]:
    """The node's own programs, then pods by namespace and name."""
    by_name = _memory_by_program()
    for name, process in daemons.processes.items():
        if name != "holder":
            yield Part(name, "runs" if process.is_alive else "has ended", by_name.get(name, 0))
    by_pod = _memory_by_pod()
    for pod in _pods(kubectl):
        meta = pod["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        yield Part(name, _state(pod), by_pod.get(meta["uid"], 0))


def _pods(kubectl: Kubectl) -> list[Any]:
    found: list[Any] = json.loads(kubectl.run("get", "pods", "--all-namespaces", "-o", "json").stdout)[
        "items"
    ]
    return found


def _state(pod: Mapping[str, Any]) -> str:
    statuses = pod["status"].get("containerStatuses", [])
    ready = sum(each["ready"] for each in statuses)
    return f"{pod['status']['phase'].lower()}, {ready} of {len(statuses)} ready"


def _memory_by_program() -> dict[str, int]:
    """Of processes outside pods, by the name of their program."""
    found: dict[str, int] = defaultdict(int)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if GROUP not in (process / "cgroup").read_text():
                found[(process / "exe").readlink().name] += _pss(process)
        except OSError:
            continue  # it has ended meanwhile, or is the kernel's
    return found


def _memory_by_pod() -> dict[str, int]:
    """By the pods' uids, as their control groups are named."""
    found: dict[str, int] = defaultdict(int)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups = (process / "cgroup").read_text()
            if f"/{GROUP}/" in groups and "/pod" in groups:
                uid = groups.partition("/pod")[2].partition("/")[0]
                found[uid] += _pss(process)
        except OSError:
            continue
    return found


def _pss(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith(_PSS):
            return int(line.split()[1]) * 1024
    return 0
