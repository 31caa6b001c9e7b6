"""Products with a GGUF's own bytes against products with the unpacked weights."""

from __future__ import annotations

import pytest
import torch

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.linear import PlainLinear
from inference.engine.operators.native.build import NativeUnavailable
from inference.engine.operators.native.kernels import NativeKernels, native_kernels
from inference.engine.operators.native.linear import NativeBlockLinear
from inference.engine.operators.packing import Packing
from inference.engine.quantization.blocks import take_apart
from inference.engine.quantization.packing import BlockPacking
from tests.engine.quantization.test_quantization import bytes_of


@pytest.fixture
def kernels() -> NativeKernels:
    try:
        return native_kernels(cpu_instructions())
    except NativeUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", NativeBlockLinear.KINDS)
@pytest.mark.parametrize("rows", [1, 4, 7])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-3)])
def test_products_are_those_of_the_unpacked_weights(
    kind: str, rows: int, with_bias: bool, dtype: torch.dtype, tolerance: float, kernels: NativeKernels
) -> None:
    """But for the rows' rounding to sixteen bits."""
    data = bytes_of(kind, rows=37, inputs=96)
    bias = torch.randn(37).to(dtype) if with_bias else None
    packing = BlockPacking(Packing("plain", PlainLinear), kernels, "packed", dtype=dtype)
    linear = packing.pack(kind, data, bias)
    assert isinstance(linear, NativeBlockLinear)
    assert linear.nbytes == data.nbytes
    x = torch.randn(rows, 96).to(dtype)
    weight = torch.from_numpy(take_apart(kind, data).floats())
    right = PlainLinear(weight, None if bias is None else bias.float())(x.float())
    assert linear(x).dtype == dtype
    assert float((linear.floats(x) - right).norm() / right.norm()) < 1e-4
    assert float((linear(x) - right).norm() / right.norm()) < tolerance


@pytest.mark.parametrize("kind", NativeBlockLinear.KINDS)
def test_rows_of_whole_steps_lose_nothing(kind: str, kernels: NativeKernels) -> None:
    """Rows that sixteen bits hold exactly, so that only the order of the sums differs."""
    data = bytes_of(kind, rows=16, inputs=64)
    x = torch.randint(-32767, 32768, (3, 64)).float()
    x[:, ::32] = 32767.0  # the largest of each block: its step is 1
    linear = BlockPacking(Packing("plain", PlainLinear), kernels, "packed").pack(kind, data, None)
    right = x @ torch.from_numpy(take_apart(kind, data).floats()).T
    torch.testing.assert_close(linear(x), right, rtol=1e-5, atol=1.0)


def test_rows_of_zeros_give_the_bias(kernels: NativeKernels) -> None:
    bias = torch.randn(32)
    linear = BlockPacking(Packing("plain", PlainLinear), kernels, "packed").pack(
        "Q4_1", bytes_of("Q4_1"), bias
    )
    torch.testing.assert_close(linear(torch.zeros(1, 64))[0], bias)
