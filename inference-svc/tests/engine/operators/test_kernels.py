"""Every form of a layer's small steps against the definition."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.attention import PagedLayer
from inference.engine.operators.choice import choose_kernels
from inference.engine.operators.kernels import Kernels, TorchKernels
from inference.engine.operators.rotation import Rotation

CPU = torch.device("cpu")
FORMATS = [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
"""Number formats with what their rounding may cost."""


@pytest.mark.parametrize("shape", [(1, 96), (5, 100), (3, 2, 24), (80, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_is_the_definition(shape: tuple[int, ...], dtype: torch.dtype, kernels: Kernels) -> None:
    rows, weight = torch.randn(shape).to(dtype), torch.randn(shape[-1]).to(dtype)
    right = functional.rms_norm(rows.float(), shape[-1:], weight.float(), 1e-3)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(
        kernels.rms_norm(rows, weight, 1e-3).float(), right, rtol=tolerance, atol=tolerance
    )


def test_the_norm_of_a_part_of_each_row_is_that_of_a_copy(kernels: Kernels) -> None:
    rows, weight = torch.randn(4, 96)[:, :32], torch.randn(32)
    torch.testing.assert_close(
        kernels.rms_norm(rows, weight, 1e-5), kernels.rms_norm(rows.clone(), weight, 1e-5)
    )


@pytest.mark.parametrize("rows", [1, 7, 80])
@pytest.mark.parametrize(("dtype", "tolerance"), FORMATS)
def test_the_gate_is_the_definition(
    rows: int, dtype: torch.dtype, tolerance: float, kernels: Kernels
) -> None:
    gate_up = (torch.randn(rows, 202) * 10).to(dtype)
    gate, up = gate_up[:, :101].float(), gate_up[:, 101:].float()
    torch.testing.assert_close(
        kernels.silu_mul(gate_up).float(), functional.silu(gate) * up, rtol=tolerance, atol=1e-6
    )


@pytest.mark.parametrize("tokens", [1, 3, 70])
@pytest.mark.parametrize(("dtype", "tolerance"), FORMATS)
def test_queries_and_keys_are_rotated_and_keys_and_values_written(
    tokens: int, dtype: torch.dtype, tolerance: float, kernels: Kernels
) -> None:
    queries, kv_heads, dim = 3, 2, 8
    heads = torch.randn(tokens, queries + 2 * kv_heads, dim).to(dtype)
    before = heads.clone()
    positions = torch.arange(tokens) * 5
    rotation = Rotation.at(positions, torch.tensor([1.0, 0.3, 0.1, 0.01]), 1.0, dtype)
    layer = PagedLayer(torch.zeros(2 * kv_heads, 10, 16, dim, dtype=dtype), kv_heads, dim)
    slots = torch.randperm(160)[:tokens]
    kernels.rotate_and_write(heads, queries, rotation, slots, layer)
    rotated = rotation(before[:, : queries + kv_heads])
    torch.testing.assert_close(heads[:, :queries], rotated[:, :queries], rtol=tolerance, atol=tolerance)
    written = layer.entries.flatten(1, 2)[:, slots].transpose(0, 1)
    torch.testing.assert_close(written[:, :kv_heads], rotated[:, queries:], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(written[:, kv_heads:], before[:, queries + kv_heads :])
    assert int((layer.entries != 0).any(-1).sum()) == tokens * 2 * kv_heads


def test_a_rotation_turns_pairs_by_their_angle() -> None:
    rotation = Rotation.at(torch.tensor([1]), torch.tensor([torch.pi / 2]), 1.0, torch.float32)
    torch.testing.assert_close(rotation(torch.tensor([[[1.0, 0.0]]])), torch.tensor([[[0.0, 1.0]]]))


def test_without_the_instructions_plain_torch_is_chosen_and_the_reason_told() -> None:
    chosen, why = choose_kernels("auto", torch.float32, CPU, frozenset({"sse2"}))
    assert type(chosen) is TorchKernels
    assert "no avx2" in why


def test_rows_of_another_number_format_are_for_plain_torch() -> None:
    chosen, _ = choose_kernels("auto", torch.float16, CPU, frozenset({"avx2", "fma", "f16c"}))
    assert type(chosen) is TorchKernels


def test_native_kernels_that_are_forced_but_not_to_be_had_are_refused() -> None:
    with pytest.raises(ValueError, match="'native' can't be had: this processor has no avx2"):
        choose_kernels("native", torch.float32, CPU, frozenset({"f16c", "fma"}))


@pytest.mark.parametrize(("dtype", "device"), [(torch.float16, "cpu"), (torch.bfloat16, "cuda")])
def test_native_kernels_are_refused_for_what_they_do_not_compute(dtype: torch.dtype, device: str) -> None:
    with pytest.raises(ValueError, match=f"float32 and bfloat16 on a CPU, not {dtype} on {device}"):
        choose_kernels("native", dtype, torch.device(device), cpu_instructions())


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton isn't made for this system")
def test_triton_kernels_are_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match="need a CUDA device; this model is computed on cpu"):
        choose_kernels("triton", torch.float32, CPU, frozenset())


def test_unknown_kernels_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are: auto, torch, native, triton"):
        choose_kernels("magic", torch.float32, CPU, frozenset())
