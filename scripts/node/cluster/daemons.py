"""The node's own programs: started inside its namespaces, and remembered from one command to the next."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

from scripts.node.build import NodeError
from scripts.servers.process import Process, start
from scripts.servers.server import Command

from .namespaces import Namespaces
from .place import LOGS, STATE

_RECORD = STATE / "processes.json"
_LOOK_AGAIN_S = 0.1
_LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class Daemons:
    """The holder of the namespaces and what runs in them, in the order of their start."""

    processes: dict[str, Process] = field(default_factory=dict)
    _one_at_a_time: Lock = field(default_factory=Lock)

    def add(self, name: str, process: Process) -> None:
        """Remember it, on disk too."""
        with self._one_at_a_time:
            self.processes[name] = process
            unfinished = _RECORD.with_suffix(".new")
            unfinished.write_text(json.dumps({key: asdict(each) for key, each in self.processes.items()}))
            unfinished.replace(_RECORD)

    def start(
        self, inside: Namespaces, name: str, words: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program inside."""
        command = Command(inside.command(*words), environment=environment or {})
        self.add(name, start(command, log(name)))

    def wait_until(self, name: str, is_ready: Callable[[], bool], within_s: float) -> None:
        """Return when program `name` is ready.

        Raises:
            NodeError: it isn't within the time, or has ended.
        """
        ends_at_s = time.monotonic() + within_s
        while not is_ready():
            ended = not self.processes[name].is_alive
            if ended or time.monotonic() > ends_at_s:
                why = "has ended" if ended else f"isn't ready within {within_s:.0f} s"
                raise NodeError(f"{name} {why}; it said last:\n{last_lines(name)}")
            time.sleep(_LOOK_AGAIN_S)


def remembered() -> Daemons:
    """What the last `up` started; empty where there is none."""
    try:
        recorded = json.loads(_RECORD.read_text())
    except FileNotFoundError:
        return Daemons()
    return Daemons({name: Process(**each) for name, each in recorded.items()})


def log(name: str) -> Path:
    """Where program `name` writes."""
    return LOGS / f"{name}.log"


def last_lines(name: str) -> str:
    """The end of its log."""
    lines = log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join(line[:300] for line in lines)
