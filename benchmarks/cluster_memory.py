"""What the whole stack of the node takes when idle, by part; no function of the project runs then."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from benchmarks._frame import Row, Table
from scripts.node.cluster.cli import kubectl, running
from scripts.node.cluster.status import parts
from tests.journeys.node import FUNCTIONS, Deployed

AT_ZERO_WITHIN_S = 300.0
_MIB = 1 << 20


async def main() -> Table:
    """Wait until every function is at zero, and look."""
    deployed = Deployed("", "")
    ends_at_s = time.monotonic() + AT_ZERO_WITHIN_S
    while not deployed.is_at_zero():
        if time.monotonic() > ends_at_s:
            raise RuntimeError(f"some function isn't at zero after {AT_ZERO_WITHIN_S:g} s")
        await asyncio.sleep(1)
    by_part: dict[str, int] = defaultdict(int)
    for part in parts(running(), kubectl()):
        namespace, _, _ = part.name.rpartition("/")
        by_part[f"pods of {namespace}" if namespace else part.name] += part.memory_bytes
    rows = [Row(name, size / _MIB, "MiB") for name, size in by_part.items()]
    rows.append(Row("altogether", sum(by_part.values()) / _MIB, "MiB"))
    rows.append(Row("pods of functions", float(len(deployed.pods(*FUNCTIONS))), "pods", 0.0))
    return Table("Idle, memory that isn't shared or its share (PSS)", rows)
