"""What a step of 16 sequences costs beside the model's forward: scheduling, layout, sampling, hand-over.

From the end of one step to the end of the next, less the forward in between; medians of the steps in which
all 16 had a token. The tokens are read by 16 tasks on an event loop, as the service reads them.
"""

from __future__ import annotations

from benchmarks._engine import checkpoint, run
from benchmarks._frame import Row, Table

BAR_MS = 1.0


async def main() -> Table:
    """Measure *qwen2-125m*, whose vocabulary is 32,000 tokens."""
    taken = run("step.py", checkpoint("qwen2-125m"))
    table = Table("A step at batch 16, beside the model's forward")
    for name, overhead_ms in taken.items():
        table.rows.append(Row(f"{name}, all 16", overhead_ms, "ms", BAR_MS))
    return table
