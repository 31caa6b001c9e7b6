"""What adapters add to a product: all kernels against the definition, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from inference.engine.batch import AdapterRows
from inference.engine.lora.linear import Delta, Part, StepAdapters
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import PlainLinear

NAMES = ("a", "b", "c")
WIDTHS = (300, 3, 520)  # of the modules that are one product
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


def delta(inputs: int, ranks: Sequence[int], dtype: torch.dtype) -> Delta:
    """Of the modules whose rank isn't 0."""
    parts, column, first = [], 0, 0
    for width, rank in zip(WIDTHS, ranks, strict=True):
        if rank:
            up = torch.randn(rank, width) / rank**0.5
            parts.append(Part(slice(column, column + width), slice(first, first + rank), up.to(dtype)))
        column, first = column + width, first + rank
    return Delta((torch.randn(first, inputs) / inputs**0.5).to(dtype), tuple(parts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [7, 256, 700])
@pytest.mark.parametrize(
    "runs",
    [
        [],
        [("a", 0, 1)],
        [("b", 2, 3), ("a", 5, 40)],
        [("c", 0, 4), ("a", 4, 5), ("b", 5, 24), ("a", 44, 45)],
    ],
)
def test_each_row_has_what_its_adapter_adds_and_no_more(
    kernels: Kernels, dtype: torch.dtype, inputs: int, runs: list[tuple[str, int, int]]
) -> None:
    torch.manual_seed(3)
    deltas = {"a": delta(inputs, (4, 0, 17), dtype), "b": delta(inputs, (1, 3, 16), dtype)}
    base = PlainLinear((torch.randn(sum(WIDTHS), inputs) / inputs**0.5).to(dtype))
    step = StepAdapters(NAMES)  # c is one of the model's, and leaves this product as it is
    linear = kernels.adapted(base, deltas, step)
    rows = torch.randn(45, inputs).to(dtype)
    plain = linear(rows)
    assert torch.equal(plain, base(rows))
    expected = plain.double()
    for name, first, last in runs:
        if own := deltas.get(name):
            narrow = rows[first:last].double() @ own.down.double().T
            for part in own.parts:
                expected[first:last, part.columns] += narrow[:, part.ranks] @ part.up.double()
    step.begin([AdapterRows(name, slice(first, last)) for name, first, last in runs])
    product = linear(rows)
    assert product.dtype == dtype
    torch.testing.assert_close(product.double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    untouched = [row for row in range(45) if not any(first <= row < last for _, first, last in runs)]
    assert torch.equal(product[untouched], plain[untouched])
    assert linear.nbytes == base.nbytes + sum(own.nbytes for own in deltas.values())


def test_rows_and_products_that_lie_apart_in_memory_are_read_and_written_all_the_same(
    kernels: Kernels,
) -> None:
    class Scattered:
        nbytes = 0

        def __call__(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.zeros(sum(WIDTHS), len(rows)).t()

    own = delta(8, (2, 2, 2), torch.float32)
    step = StepAdapters(["a"])
    step.begin([AdapterRows("a", slice(0, 3))])
    rows = torch.randn(8, 3).t()
    right = torch.cat([(rows @ own.down.T)[:, part.ranks] @ part.up for part in own.parts], 1)
    torch.testing.assert_close(kernels.adapted(Scattered(), {"a": own}, step)(rows), right)
