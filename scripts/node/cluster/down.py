"""`scripts/cluster down`: nothing of the node is left but the programs and images in the cache."""

from __future__ import annotations

import shutil
import signal

from . import cgroups, sysctls
from .daemons import remembered
from .namespaces import release
from .place import STATE


def down() -> bool:
    """End the node and remove what it kept; whether there was one."""
    daemons = remembered()
    if holder := daemons.processes.get("holder"):
        release(holder)
    for process in daemons.processes.values():
        process.stop(signal.SIGTERM)  # what led inside ends with what it led to
    cgroups.remove()
    sysctls.restore()
    there = STATE.exists()
    if there:
        shutil.rmtree(STATE)
    return there
