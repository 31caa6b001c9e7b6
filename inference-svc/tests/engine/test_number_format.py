from __future__ import annotations

from pathlib import Path

import pytest

from inference.engine.number_format import choose_number_format, cpu_instructions


@pytest.mark.parametrize(
    ("instructions", "dtype", "reason"),
    [
        ({"avx2", "fma"}, "float32", "avx2, but no bfloat16"),
        ({"avx2", "avx512f"}, "float32", "avx512f, but no bfloat16"),
        ({"avx2", "avx512f", "avx512_bf16"}, "bfloat16", "avx512_bf16"),
        ({"avx512_bf16", "amx_bf16"}, "bfloat16", "amx_bf16"),
        ({"asimd", "bf16"}, "bfloat16", "bf16"),
        (set(), "float32", "no known vector instructions"),
    ],
)
def test_a_processor_computes_in_bfloat16_only_where_it_has_the_instructions(
    instructions: set[str], dtype: str, reason: str
) -> None:
    chosen = choose_number_format("auto", "cpu", frozenset(instructions))
    assert chosen.dtype == dtype
    assert reason in chosen.reason


def test_the_operator_may_force_a_format() -> None:
    assert choose_number_format("float16", "cpu", frozenset()).dtype == "float16"


def test_a_gpu_computes_in_bfloat16() -> None:
    assert choose_number_format("auto", "cuda", frozenset()).dtype == "bfloat16"


def test_instructions_are_read_from_the_system(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_instructions(cpuinfo) == {"fpu", "avx2", "avx512_bf16"}
    assert cpu_instructions(tmp_path / "absent") == frozenset()
