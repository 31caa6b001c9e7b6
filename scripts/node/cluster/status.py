"""`scripts/cluster status`: what runs, and what it takes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.node.admission.apiserver import Kubectl

from .daemons import Daemons
from .namespaces import Namespaces
from .pods import processes

_PSS = "Pss:"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the cluster; `memory_bytes` counts what is shared once (PSS)."""

    name: str
    state: str
    memory_bytes: int


def parts(daemons: Daemons, kubectl: Kubectl) -> Iterator[Part]:
    """The node's own programs, then pods by namespace and name."""
    by_pod, by_program = _memory(Namespaces.of(daemons.processes["holder"]))
    for name, process in daemons.processes.items():
        if name != "holder":
            yield Part(name, "runs" if process.is_alive else "has ended", by_program[name])
    for pod in _pods(kubectl):
        meta = pod["metadata"]
        yield Part(f"{meta['namespace']}/{meta['name']}", _state(pod), by_pod[meta["uid"]])


def _pods(kubectl: Kubectl) -> list[Any]:
    found: list[Any] = json.loads(kubectl.run("get", "pods", "--all-namespaces", "-o", "json").stdout)[
        "items"
    ]
    return found


def _state(pod: Mapping[str, Any]) -> str:
    statuses = pod["status"].get("containerStatuses", [])
    ready = sum(each["ready"] for each in statuses)
    return f"{pod['status']['phase'].lower()}, {ready} of {len(statuses)} ready"


def _memory(inside: Namespaces) -> tuple[dict[str, int], dict[str, int]]:
    """By the pods' uids; and of what else is inside by the name of the program."""
    by_pod: dict[str, int] = defaultdict(int)
    by_program: dict[str, int] = defaultdict(int)
    for process, pod in processes():
        try:
            if pod:
                by_pod[pod] += _pss(process)
            elif inside.has(process):
                by_program[(process / "exe").readlink().name] += _pss(process)
        except OSError:
            continue  # it has ended meanwhile, or is the kernel's
    return by_pod, by_program


def _pss(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith(_PSS):
            return int(line.split()[1]) * 1024
    return 0
