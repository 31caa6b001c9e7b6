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

BAR_ONE_ADAPTER = 1.3


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
    """Measure. The bar is of the ratio to a step without; one adapter has 3 % of the layers' numbers."""
    table = Table("A decode step of 16 sequences with adapters")
    taken = measured()
    for adapters, milliseconds in taken.items():
        table.rows.append(Row(f"{adapters} adapters", milliseconds, "ms"))
    table.rows.append(Row("1 adapter / none", taken["1"] / taken["0"], "x", BAR_ONE_ADAPTER))
    return table
