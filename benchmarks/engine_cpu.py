"""The engine beside llama.cpp and transformers on a CPU: tokens a second, alone and in a batch.

Every peer computes the same work (`benchmarks/engine/workload.py`) in a process of its own, one after the
other, twice; the figures are medians. Engine and transformers run in the model service's environment,
llama.cpp in one that is made at the first run (its package is built from source, which takes minutes).
Numbers are bfloat16 on a processor with instructions for it, and then llama.cpp reads the same weights as
BF16; float32 and F32 on one without; the engine's own packing is what it chooses there. What memory alone
would allow (`benchmarks/engine/bandwidth.py`) is measured between the peers. `qwen2`, `smollm2` and `dsv3`
choose among the models, `--rounds N` measures each part N times a process.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks._engine import (
    SERVICE_PYTHON,
    as_gguf,
    checkpoint,
    computes_bfloat16,
    default_gguf,
    llama_cpp,
    run,
)
from benchmarks._frame import Row, Table, machine

LENGTHS = (40, 96, 160, 220, 300, 64, 150, 48, 128, 256, 200, 72, 333, 90, 180, 163)  # 2,500 tokens
NEW_TOKENS = 48
PASSES = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """A peer's medians, in tokens a second."""

    single: float
    mixed: float


@dataclass(frozen=True, slots=True)
class Peer:
    """One program with the model that it reads."""

    script: str
    model: Path
    python: Path = SERVICE_PYTHON
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model's peers, and what is held against which.

    Attributes:
        bars: of the engine's figure over a peer's, by the peer's name and the part.
        step_bytes: of the weights that a step reads; None where the roof isn't told.
    """

    model: str
    peers: Mapping[str, Peer]
    bars: Mapping[tuple[str, str], float]
    step_bytes: int | None = None

    def rows(self, rounds: int) -> list[Row]:
        """Measure: each peer's figures, then what the engine makes of each, beside its bar."""
        figures, roof = self._measured(rounds)
        return [*self._told(figures), *self._ratios(figures), *self._under(roof, figures["engine"])]

    def _measured(self, rounds: int) -> tuple[dict[str, Figures], float]:
        """All peers in turn, `PASSES` times; and the median bandwidth between them, in bytes a second."""
        workload = json.dumps(
            {
                "lengths": LENGTHS,
                "new_tokens": NEW_TOKENS,
                "tokens": 1000,
                "threads": machine().cores,
                "rounds": rounds,
            }
        )
        runs: dict[str, list[dict[str, list[float]]]] = {name: [] for name in self.peers}
        bandwidths: list[float] = []
        for _ in range(PASSES):
            for name, peer in self.peers.items():
                runs[name].append(run(peer.script, peer.model, workload, *peer.options, python=peer.python))
                if self.step_bytes:
                    bandwidths.append(max(run("bandwidth.py", machine().cores)["bytes_per_s"]))
        figures = {
            name: Figures(_median(taken, "single"), _median(taken, "mixed")) for name, taken in runs.items()
        }
        return figures, statistics.median(bandwidths) if bandwidths else 0.0

    def _told(self, figures: Mapping[str, Figures]) -> list[Row]:
        return [
            Row(f"{self.model}: {name}, {what}", figure, "tokens/s")
            for name, taken in figures.items()
            for what, figure in (("1 sequence", taken.single), ("16 requests", taken.mixed))
        ]

    def _ratios(self, figures: Mapping[str, Figures]) -> list[Row]:
        own = figures["engine"]
        return [
            self._ratio(name, what, ours / theirs)
            for name, taken in figures.items()
            if name != "engine"
            for what, ours, theirs in (
                ("1 sequence", own.single, taken.single),
                ("16 requests", own.mixed, taken.mixed),
            )
        ]

    def _under(self, bytes_per_s: float, engine: Figures) -> list[Row]:
        """How near one sequence comes to what memory allows."""
        if not self.step_bytes:
            return []
        roof = bytes_per_s / self.step_bytes
        told = f"{bytes_per_s / 1e9:.1f} GB/s, {self.step_bytes / 1e6:.0f} MB a step"
        return [
            Row(f"{self.model}: roof by memory, 1 sequence", roof, "tokens/s", note=told),
            self._ratio("roof", "1 sequence", engine.single / roof),
        ]

    def _ratio(self, peer: str, what: str, ratio: float) -> Row:
        name = f"{self.model}: engine / {peer}, {what}"
        return Row(name, ratio, "x", self.bars.get((peer, what)), at_most=False)


def _median(runs: list[dict[str, list[float]]], part: str) -> float:
    return statistics.median(figure for taken in runs for figure in taken[part])


def comparisons() -> dict[str, Comparison]:
    """The three models by their names, each with its peers."""
    python, llama = llama_cpp(), "llama_cpp_peer.py"
    qwen2, dsv3, smollm2 = checkpoint("qwen2-125m"), checkpoint("dsv3-75m"), default_gguf()
    kind = "BF16" if computes_bfloat16() else "F32"
    return {
        "qwen2": Comparison(
            "qwen2-125m",
            {
                "engine": Peer("hadal.py", qwen2),
                "llama.cpp": Peer(llama, as_gguf(qwen2, kind), python),
                "llama.cpp F16": Peer(llama, as_gguf(qwen2, "F16"), python),
                "transformers continuous": Peer("transformers_peer.py", qwen2, options=("--continuous",)),
            },
            {
                ("roof", "1 sequence"): 0.55,
                ("llama.cpp", "1 sequence"): 0.75,
                ("llama.cpp", "16 requests"): 1.2,
                ("transformers continuous", "16 requests"): 3.0,
            },
            run("step_bytes.py", qwen2, 2 if computes_bfloat16() else 4),
        ),
        "smollm2": Comparison(
            "SmolLM2-135M Q4_1",
            {"engine": Peer("hadal.py", smollm2), "llama.cpp": Peer(llama, smollm2, python)},
            {("llama.cpp", "1 sequence"): 0.8, ("llama.cpp", "16 requests"): 1.2},
        ),
        "dsv3": Comparison(
            "dsv3-75m",
            {"engine": Peer("hadal.py", dsv3), "transformers padded": Peer("transformers_peer.py", dsv3)},
            {("transformers padded", "16 requests"): 4.0},
        ),
    }


async def main() -> Table:
    """Measure all three models, or those that are named."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    numbers = "bfloat16; llama.cpp in BF16" if computes_bfloat16() else "float32; llama.cpp in F32"
    table = Table(f"Engine, llama.cpp and transformers on a CPU, in {numbers} where not said otherwise")
    for name, comparison in comparisons().items():
        if name in sys.argv or not set(sys.argv) & {"qwen2", "smollm2", "dsv3"}:
            table.rows.extend(comparison.rows(rounds))
    return table
