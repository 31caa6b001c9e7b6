"""What LoRA adapters cost a decode step of 16 sequences: none, one, four, and another one for each.

The kinds of step take turns in one process; of each the fastest is told. Adapters have rank 16 on every layer
of *qwen2-125m* (`benchmarks/engine/adapters.py`).
"""

from __future__ import annotations

import json
import os
import subprocess

from benchmarks._frame import Row, Table
from benchmarks.engine_cpu import PASS_LIMIT_S, PEERS, SERVICE, checkpoint


def measured() -> dict[str, float]:
    """Milliseconds a step, by the number of adapters in it."""
    command = [SERVICE / ".venv/bin/python", PEERS / "adapters.py", checkpoint("qwen2-125m")]
    environment = {**os.environ, "PYTHONPATH": str(SERVICE)}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=PASS_LIMIT_S, env=environment
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def main() -> Table:
    """Measure. There is no bar: what an adapter costs has no peer on a CPU."""
    table = Table("A decode step of 16 sequences with adapters")
    table.rows.extend(Row(f"{adapters} adapters", taken, "ms") for adapters, taken in measured().items())
    return table
