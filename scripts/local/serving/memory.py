"""How much memory processes have."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def group_memory_bytes(group: int) -> int:
    """What a process group holds, shared pages counted in parts (proportional set size); 0 if it has gone."""
    return sum(_proportional_bytes(entry) for entry in PROC.iterdir() if _group_of(entry) == group)


def own_memory_bytes() -> int:
    """What this process holds."""
    return _proportional_bytes(PROC / "self")


def _group_of(entry: Path) -> int | None:
    if not entry.name.isdigit():
        return None
    try:
        # The name, in parentheses, may hold anything; the group is the third field after it.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[2])
    except (OSError, IndexError, ValueError):
        return None


def _proportional_bytes(entry: Path) -> int:
    try:
        for line in (entry / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
