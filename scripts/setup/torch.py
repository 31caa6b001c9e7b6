"""Which build of torch the model service gets.

PyPI has torch for Linux as the CUDA build only: 0.5 GB, and 2.5 GB of CUDA libraries beside it. PyTorch's
own index has a CPU build of the same version (about 190 MB), but isn't reachable from everywhere. So `auto`
takes CUDA where an NVIDIA GPU is, else the CPU build where that index answers soon, else PyPI's, which runs
on a CPU as well.
"""

from __future__ import annotations

import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from scripts.setup.progress import SetupFailed

Build = Literal["cpu", "cuda"]
Choice = Literal["auto", "cpu", "cuda"]

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_BUILD_BYTES = 190_000_000
INDEX_ANSWER_S = 4.0
GPU_SIGNS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")


def cpu_index(environ: Mapping[str, str] = os.environ) -> str:
    """The index of CPU builds; a mirror can be named in HADAL_TORCH_CPU_INDEX."""
    return environ.get("HADAL_TORCH_CPU_INDEX") or CPU_INDEX


def choose(choice: Choice, *, gpu: Callable[[], bool], answers: Callable[[], bool]) -> Build:
    """The build for this machine.

    Args:
        choice: what was asked for by hand.
        gpu: whether an NVIDIA GPU is here.
        answers: whether the index of CPU builds does.

    Raises:
        SetupFailed: the CPU build was asked for, and its index doesn't answer.
    """
    if choice == "cuda" or (choice == "auto" and (platform.system() != "Linux" or gpu())):
        return "cuda"
    if answers():
        return "cpu"
    if choice == "cpu":
        raise SetupFailed(
            f"--torch cpu: {cpu_index()} didn't answer within {INDEX_ANSWER_S:.0f} s; name a mirror of it in "
            "HADAL_TORCH_CPU_INDEX, or leave --torch out to take PyPI's build, which runs on a CPU too"
        )
    return "cuda"


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is loaded or its tool is here."""
    return any(sign.exists() for sign in GPU_SIGNS) or shutil.which("nvidia-smi") is not None


def index_answers(index: str, within_s: float = INDEX_ANSWER_S) -> bool:
    """Whether the index has torch and says so in time, name resolution included."""
    import urllib.request  # slow to import, and most set-ups have nothing to ask

    found, done = threading.Event(), threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{index}/torch/", timeout=within_s) as answer:  # noqa: S310 - ours
                if answer.status == 200:
                    found.set()
        except (OSError, ValueError):  # URLError is an OSError; ValueError is an address that is none
            pass
        done.set()

    threading.Thread(target=ask, daemon=True).start()  # a resolver that hangs must not hold us
    done.wait(within_s)
    return found.is_set()


def cuda_packages(names: Iterable[str]) -> list[str]:
    """Those of a lock's packages that only the CUDA build needs, torch itself among them."""
    return sorted(name for name in names if name == "torch" or name.startswith(CUDA_PREFIXES))
