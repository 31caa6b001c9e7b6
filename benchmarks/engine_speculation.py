"""Guessed tokens: the engine's tokens a second with them and without, where an answer repeats and where not.

The default model from its GGUF file, in the model service's environment; 96 tokens an answer, in batches of
1, 4 and 16. Both ways run next to each other, `--rounds N` times (3); the figures are medians.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

from benchmarks._engine import default_model, run
from benchmarks._frame import Row, Table, machine

NO_SLOWER_BAR = 0.97
"""Guesses are made only where they pay; what is less than one is the measurement's own spread."""


async def main() -> Table:
    """Measure every batch."""
    table = Table("Guessed tokens, SmolLM2-135M from its Q4_1 blocks")
    rounds = sys.argv[sys.argv.index("--rounds") + 1] if "--rounds" in sys.argv else "3"
    figures: list[dict[str, Any]] = run("speculating.py", default_model(), rounds, machine().cores)
    for figure in figures:
        runs, name = figure["runs"], figure["name"]
        ratio = statistics.median(on[0] / off[0] for off, on in runs)
        made = statistics.median(on[1] for _, on in runs)
        without = statistics.median(off[0] for off, _ in runs)
        table.rows.append(Row(f"{name}: without", without, "tokens/s"))
        note = f"{made:.2f} tokens a step"
        table.rows.append(Row(f"{name}: with / without", ratio, "x", NO_SLOWER_BAR, at_most=False, note=note))
    return table
