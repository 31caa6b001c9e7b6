"""Settings of the whole kernel that the kubelet changes: remembered at first, and set back."""

from __future__ import annotations

import json
from pathlib import Path

from .place import STATE

_SYS = Path("/proc/sys")
CHANGED = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_RECORD = STATE / "sysctls.json"


def remember() -> None:
    """Write down what they are."""
    there = {name: (_SYS / name).read_text().strip() for name in CHANGED if (_SYS / name).exists()}
    _RECORD.write_text(json.dumps(there))


def restore() -> None:
    """Set back those that are no longer so."""
    if _RECORD.exists():
        for name, value in json.loads(_RECORD.read_text()).items():
            if (_SYS / name).read_text().strip() != value:
                (_SYS / name).write_text(value)
