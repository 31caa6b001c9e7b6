from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import gguf
import numpy as np
import pytest
import torch

from inference.engine.operators.kernels import TorchKernels
from inference.engine.operators.linear import PlainLinear
from inference.engine.operators.packing import Packing
from inference.engine.quantization.blocks import Blocks, Bytes, take_apart
from inference.engine.quantization.linear import EightBitLinear, FourBitLinear, SwitchingLinear
from inference.engine.quantization.packing import BlockPacking

PLAIN = Packing("plain", PlainLinear)


def bytes_of(kind: str, rows: int = 32, inputs: int = 64) -> Bytes:
    values = np.random.default_rng(4).standard_normal((rows, inputs), dtype=np.float32)
    data: Bytes = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    return data


def blocks_of(kind: str) -> Blocks:
    return take_apart(kind, bytes_of(kind))


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_blocks_taken_apart_are_what_gguf_unpacks(kind: str) -> None:
    values = np.random.default_rng(4).standard_normal((8, 96), dtype=np.float32)
    data = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    unpacked = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    np.testing.assert_allclose(take_apart(kind, data).floats(), unpacked, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_four_bit_products_are_those_of_the_unpacked_weights(kind: str, with_bias: bool) -> None:
    blocks = blocks_of(kind)
    bias = torch.randn(32) if with_bias else None
    weight = torch.from_numpy(blocks.floats())
    rows = torch.randn(5, 64)
    right = PlainLinear(weight, bias)(rows)
    error = (FourBitLinear.pack(blocks, bias)(rows) - right).norm() / right.norm()
    assert float(error) < 5e-3


def test_eight_bit_products_are_within_a_hundredth_of_the_unpacked_weights() -> None:
    weight = torch.from_numpy(blocks_of("Q8_0").floats())
    rows = torch.randn(5, 64)
    right = rows @ weight.T
    error = (EightBitLinear.pack(weight, None)(rows) - right).norm() / right.norm()
    assert float(error) < 1e-2


def test_packed_four_bits_take_a_fifth_of_float32() -> None:
    blocks = blocks_of("Q4_1")
    assert FourBitLinear.pack(blocks, None).nbytes * 5 <= blocks.floats().nbytes


def test_few_rows_take_one_packing_and_more_the_other() -> None:
    linear = SwitchingLinear(PlainLinear(torch.ones(2, 3)), PlainLinear(torch.zeros(2, 3)), few_rows=2)
    assert float(linear(torch.ones(2, 3)).sum()) == 12.0
    assert float(linear(torch.ones(3, 3)).sum()) == 0.0


def clock(*spent_s: float) -> Iterator[float]:
    """Readings of a clock between which these times pass in turn: packed, unpacked, packed, …"""
    now = 0.0
    for index in count():
        yield now
        now += spent_s[index // 2 % len(spent_s)] if index % 2 == 0 else 0.0


def packing(*spent_s: float, mode: str = "auto") -> BlockPacking:
    readings = clock(*[time_s for time_s in spent_s for _ in range(3)])
    return BlockPacking(PLAIN, TorchKernels(), mode, clock=lambda: next(readings), evicting=torch.zeros(1))


def test_weights_stay_packed_only_up_to_the_rows_where_that_was_faster() -> None:
    # Of 1 and 2 rows the packed product takes one second, the other two; of 4 rows it is the reverse.
    linear = packing(1.0, 2.0, 1.0, 2.0, 2.0, 1.0).pack("Q4_1", bytes_of("Q4_1"), None)
    assert isinstance(linear, SwitchingLinear)
    assert linear.few_rows == 2


def test_weights_that_are_never_faster_packed_are_unpacked() -> None:
    linear = packing(2.0, 1.0).pack("Q4_1", bytes_of("Q4_1"), None)
    assert isinstance(linear, PlainLinear)


def test_the_smallest_form_keeps_nothing_unpacked() -> None:
    four = packing(mode="packed").pack("Q4_0", bytes_of("Q4_0"), None)
    eight = packing(mode="packed").pack("Q8_0", bytes_of("Q8_0"), None)
    assert isinstance(four, FourBitLinear)
    assert isinstance(eight, EightBitLinear)


def test_a_matrix_whose_shape_the_operator_refuses_is_unpacked() -> None:
    linear = packing(mode="packed").pack("Q4_0", bytes_of("Q4_0", rows=20), None)
    assert isinstance(linear, PlainLinear)


def test_the_unpacked_mode_is_exact() -> None:
    blocks = blocks_of("Q4_1")
    linear = packing(mode="unpacked").pack("Q4_1", bytes_of("Q4_1"), None)
    rows = torch.randn(3, 64)
    torch.testing.assert_close(linear(rows), rows @ torch.from_numpy(blocks.floats()).T)


def test_an_unknown_mode_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are: auto, unpacked, packed"):
        BlockPacking(PLAIN, TorchKernels(), "three-bits")
