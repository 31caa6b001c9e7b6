"""What LoRA adapters cost a decode step of 16 sequences: none, one, four, and another one for each.

The kinds of step take turns in one process; of each the fastest is told. Adapters have rank 16 on every layer
of *qwen2-125m* (`benchmarks/engine/adapters.py`).
"""

from __future__ import annotations

from benchmarks._engine import checkpoint, run
from benchmarks._frame import Row, Table

BAR_ONE_ADAPTER = 1.3


async def main() -> Table:
    """Measure. The bar is of the ratio to a step without; one adapter has 3 % of the layers' numbers."""
    table = Table("A decode step of 16 sequences with adapters")
    taken: dict[str, float] = run("adapters.py", checkpoint("qwen2-125m"))
    for adapters, milliseconds in taken.items():
        table.rows.append(Row(f"{adapters} adapters", milliseconds, "ms"))
    table.rows.append(Row("1 adapter / none", taken["1"] / taken["0"], "x", BAR_ONE_ADAPTER))
    return table
