"""Which number format the weights are computed in, chosen from the machine at hand.

bfloat16 halves the bytes a step reads, but only pays where the processor has instructions for it: without
them the same model is tens of times slower than in float32 (a 135M model on AVX2 alone: 1 to 3 tokens a
second).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # the last one is Arm's
_VECTOR_INSTRUCTIONS = ("avx512f", "avx2", "sve", "asimd", "neon")


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A torch dtype's name and why it was chosen."""

    dtype: str
    reason: str


def cpu_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The first processor's instruction-set flags; empty where the system doesn't tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, []))


def choose_number_format(wanted: str, device: str, instructions: frozenset[str]) -> NumberFormat:
    """Choose for a device (`cpu` or `cuda`); `wanted` other than `auto` is taken as it is."""
    if wanted != "auto":
        return NumberFormat(wanted, "forced by DTYPE")
    if device != "cpu":
        return NumberFormat("bfloat16", f"a {device} device computes in bfloat16")
    native = [name for name in _BF16_INSTRUCTIONS if name in instructions]
    if native:
        return NumberFormat("bfloat16", f"this processor has {native[0]}")
    vectors = next(
        (name for name in _VECTOR_INSTRUCTIONS if name in instructions), "no known vector instructions"
    )
    return NumberFormat("float32", f"this processor has {vectors}, but no bfloat16 instructions")
