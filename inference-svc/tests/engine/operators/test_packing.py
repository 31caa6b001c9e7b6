from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.operators.linear import (
    HalfWeightLinear,
    Linear,
    OneDnnLinear,
    PlainLinear,
    fits_half,
    in_floats,
)
from inference.engine.operators.native import linear as linear_module
from inference.engine.operators.native.build import NEEDED_INSTRUCTIONS
from inference.engine.operators.native.linear import NativeLinear
from inference.engine.operators.packing import choose_packing, flaw_of

CPU = torch.device("cpu")


def _resident_bytes() -> int:
    """Of this process, without what the allocator keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("pack", [PlainLinear, OneDnnLinear.pack, HalfWeightLinear.pack])
@pytest.mark.parametrize("with_bias", [False, True])
def test_every_float32_packing_multiplies_like_torch(pack: object, with_bias: bool) -> None:
    weight = torch.randn(64, 96).bfloat16().float()
    bias = torch.randn(64) if with_bias else None
    assert callable(pack)
    linear: Linear = pack(weight, bias)
    for count in (1, 3, 40):
        rows = torch.randn(count, 96)
        torch.testing.assert_close(linear(rows), functional.linear(rows, weight, bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("outputs", [1, 64, 130])
@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 40])
@pytest.mark.parametrize("with_bias", [False, True])
def test_native_products_of_bfloat16_are_those_of_float32_rounded_once(
    outputs: int, rows: int, with_bias: bool
) -> None:
    weight = torch.randn(outputs, 96).bfloat16()
    bias = torch.randn(outputs).bfloat16() if with_bias else None
    try:
        linear = NativeLinear.pack(weight, bias)
    except RuntimeError as error:
        pytest.skip(str(error))
    x = torch.randn(rows, 96).bfloat16()
    right = functional.linear(x.float(), weight.float(), None if bias is None else bias.float())
    torch.testing.assert_close(linear(x).float(), right, rtol=2**-8, atol=1e-4)
    torch.testing.assert_close(in_floats(linear, x), right, rtol=1e-5, atol=1e-4)
    part = torch.randn(rows, 200).bfloat16()[:, 7:103]
    torch.testing.assert_close(linear(part), linear(part.clone()))


def test_without_the_instructions_bfloat16_gets_another_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_module, "cpu_instructions", lambda: NEEDED_INSTRUCTIONS)
    with pytest.raises(RuntimeError, match="no native products here"):
        NativeLinear.pack(torch.ones(4, 8).bfloat16(), None)
    assert choose_packing(torch.bfloat16, CPU).name in ("onednn", "plain")


def test_bfloat16_weights_of_an_odd_number_of_inputs_get_another_packing() -> None:
    packing = choose_packing(torch.bfloat16, CPU)
    weight, rows = torch.randn(3, 7).bfloat16(), torch.randn(2, 7).bfloat16()
    product = packing.pack(weight, None)(rows)
    torch.testing.assert_close(product, functional.linear(rows, weight), rtol=2e-2, atol=1e-2)


def test_float16_weights_take_half_the_bytes_where_they_fill_whole_blocks() -> None:
    weight = torch.ones(64, 512)
    assert HalfWeightLinear.pack(weight, None).nbytes * 2 == PlainLinear(weight).nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize(("outputs", "inputs", "count"), [(24_576, 576, 1), (33, 600, 400), (512, 1536, 30)])
def test_float16_weights_are_counted_as_they_stand_in_memory(outputs: int, inputs: int, count: int) -> None:
    weight = torch.ones(outputs, inputs)
    before_bytes = _resident_bytes()
    linears = [HalfWeightLinear.pack(weight, None) for _ in range(count)]
    taken_bytes = _resident_bytes() - before_bytes
    counted_bytes = sum(linear.nbytes for linear in linears)
    # With AVX2 a block has 16 outputs, where 32 are counted: 33 outputs take 48, not 64.
    assert 0.7 * counted_bytes < taken_bytes < 1.05 * counted_bytes


def test_bfloat16_weights_fit_into_float16_and_finer_or_larger_ones_do_not() -> None:
    assert fits_half(torch.randn(100, 100).bfloat16().float())
    assert fits_half(torch.tensor([[1e-12, 1.0]]))
    assert not fits_half(torch.tensor([[1 / 3]]))
    assert not fits_half(torch.tensor([[70_000.0]]))


def test_weights_that_float16_cannot_hold_are_kept_in_float32() -> None:
    packing = choose_packing(torch.float32, CPU, "float16-weights")
    assert isinstance(packing.pack(torch.ones(32, 512), None), HalfWeightLinear)
    assert isinstance(packing.pack(torch.full((32, 512), 1 / 3), None), OneDnnLinear)


def test_small_weights_are_kept_in_float32_where_whole_blocks_of_float16_would_take_more() -> None:
    packing = choose_packing(torch.float32, CPU, "float16-weights")
    assert isinstance(packing.pack(torch.ones(32, 257), None), HalfWeightLinear)
    assert isinstance(packing.pack(torch.ones(32, 256), None), OneDnnLinear)


def test_a_packing_whose_products_are_wrong_is_passed_over() -> None:
    def doubled(weight: Tensor, bias: Tensor | None) -> Linear:
        return PlainLinear(2 * weight, bias)

    assert flaw_of(PlainLinear, torch.float32, CPU) is None
    assert "differs" in str(flaw_of(doubled, torch.float32, CPU))


def test_a_packing_whose_operator_refuses_is_passed_over() -> None:
    def refused(weight: Tensor, bias: Tensor | None) -> Linear:
        raise RuntimeError("no such kernel")

    assert "isn't supported" in str(flaw_of(refused, torch.float32, CPU))


def test_a_forced_packing_that_is_unknown_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are: float16-weights, onednn, plain"):
        choose_packing(torch.float32, CPU, "magic")


def test_the_choice_says_why() -> None:
    chosen = choose_packing(torch.float32, CPU)
    assert chosen.reason
    assert choose_packing(torch.float32, CPU, "plain").reason == "forced"
