"""A beginning of 2,048 tokens that 16 requests share: how much sooner their first tokens come.

`without the cache` is 16 requests whose beginnings all differ, so that nothing can be found again. The same
engine then gets 16 that share one: read by an earlier request, or read by nobody yet, so that the first of
them reads it for all (at most 8.5 times sooner: without the cache they wait for one another, 8.5 readings in
the mean). Means over the 16, medians over the rounds; `--rounds N`.
"""

from __future__ import annotations

import statistics
import sys

from benchmarks._engine import checkpoint, run
from benchmarks._frame import Row, Table

BAR = 8.0


async def main() -> Table:
    """Measure *qwen2-125m*."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    taken = run("prefix.py", checkpoint("qwen2-125m"), rounds)
    table = Table("A shared beginning of 2,048 tokens, 16 requests at once: seconds to the first token")
    names = {"apart": "without the cache", "known": "read before", "together": "read by the first for all"}
    seconds = {part: statistics.median(taken[part]) for part in names}
    table.rows.extend(Row(name, seconds[part], "s") for part, name in names.items())
    for part, bar in (("known", BAR), ("together", None)):
        sooner = seconds["apart"] / seconds[part]
        table.rows.append(Row(f"{names[part]}: sooner", sooner, "x", bar, at_most=False))
    return table
