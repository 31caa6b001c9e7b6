"""Guessed tokens: the engine's tokens a second with them and without, where an answer repeats and where not.

The default model from its GGUF file, in the model service's environment; 96 tokens an answer, in batches of
1, 4 and 16. Both ways run next to each other, `--rounds N` times (3); the figures are medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks._frame import Row, Table, machine

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "inference-svc"
PEER = Path(__file__).parent / "engine/speculating.py"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hadal" / "benchmarks"


def default_model() -> Path:
    """The default model's folder, made once."""
    folder = CACHE / "default-model"
    prepare = [
        str(SERVICE / ".venv/bin/python"),
        "-m",
        "inference.prepare",
        "--default",
        "--out",
        str(folder),
    ]
    subprocess.run(prepare, cwd=SERVICE, check=True, stdout=sys.stderr)
    return folder


def measured(rounds: str) -> list[dict[str, Any]]:
    """What the peer says: each figure's name, and its runs without guesses and with them."""
    python, cores = str(SERVICE / ".venv/bin/python"), str(machine().cores)
    done = subprocess.run(
        [python, str(PEER), str(default_model()), rounds, cores],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SERVICE)},
    )
    figures: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def main() -> Table:
    """Measure every batch."""
    table = Table("Guessed tokens, SmolLM2-135M from its Q4_1 blocks")
    for figure in measured(sys.argv[sys.argv.index("--rounds") + 1] if "--rounds" in sys.argv else "3"):
        runs, name = figure["runs"], figure["name"]
        ratio = statistics.median(on[0] / off[0] for off, on in runs)
        made = statistics.median(on[1] for _, on in runs)
        without = statistics.median(off[0] for off, _ in runs)
        table.rows.append(Row(f"{name}: without", without, "tokens/s"))
        table.rows.append(Row(f"{name}: with / without", ratio, "x", note=f"{made:.2f} tokens a step"))
    return table
