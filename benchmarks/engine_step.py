"""What a step of 16 sequences costs beside the model's forward: scheduling, layout, sampling, hand-over.

From the end of one step to the end of the next, less the forward in between; medians of the steps in which
all 16 had a token. The tokens are read by 16 tasks on an event loop, as the service reads them; what those
take of the forward is counted where it is compared with one that nobody disturbs. Then what of this is the
choice of the tokens, as the service makes it and in plain torch (`benchmarks/engine/choosing.py`).
"""

from __future__ import annotations

from benchmarks._engine import checkpoint, run
from benchmarks._frame import Row, Table

BAR_MS = 1.0
VOCABULARY_TOKENS = 32_000


async def main() -> Table:
    """Measure *qwen2-125m*, whose vocabulary is 32,000 tokens."""
    table = Table("A step at batch 16, beside the model's forward")
    for name, (beside_ms, undisturbed_ms) in run("step.py", checkpoint("qwen2-125m")).items():
        table.rows.append(Row(f"{name}, all 16", beside_ms, "ms", BAR_MS))
        table.rows.append(Row(f"{name}, all 16, beside an undisturbed forward", undisturbed_ms, "ms", BAR_MS))
    for name, (native_us, torch_us) in run("choosing.py", VOCABULARY_TOKENS).items():
        table.rows.append(Row(f"choosing 16 tokens, {name}", native_us / 1000, "ms"))
        table.rows.append(Row(f"choosing 16 tokens, {name}: torch", torch_us / native_us, "x"))
    return table
