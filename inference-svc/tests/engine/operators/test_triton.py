"""The Triton kernels against plain torch, in Triton's interpreter where there is no GPU.

The sixteen-bit format is float16: the interpreter doesn't multiply bfloat16.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton isn't made for this system"),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCK_TOKENS = 16


@pytest.mark.parametrize(("heads", "kv_heads", "dim", "value_dim"), [(6, 2, 24, 24), (4, 4, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_paged_attention_is_that_of_plain_torch(
    heads: int, kv_heads: int, dim: int, value_dim: int, dtype: torch.dtype
) -> None:
    compare_attention(heads, kv_heads, 2 * kv_heads, dim, value_dim, dtype)


@pytest.mark.parametrize("heads", [3, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_latent_attention_is_that_of_plain_torch(heads: int, dtype: torch.dtype) -> None:
    compare_attention(heads, 1, 1, 40, 32, dtype)


def compare_attention(
    heads: int, kv_heads: int, parts: int, dim: int, value_dim: int, dtype: torch.dtype
) -> None:
    from inference.engine.operators.attention import PagedLayer, batched_decodes, plan_attention
    from inference.engine.operators.triton_attention import paged_decodes
    from tests.engine.operators.test_attention import batch_of

    torch.manual_seed(1)
    batch = batch_of([1, 1, 1], [1, 40, 33], [[3], [9, 0, 7], [2, 5, 4]])
    entries = torch.randn(parts, 10, BLOCK_TOKENS, dim).to(DEVICE, dtype)
    layer = PagedLayer(entries, kv_heads, value_dim)
    queries = torch.randn(3, heads, dim).to(DEVICE, dtype)
    decodes = partial(batched_decodes, block_tokens=BLOCK_TOKENS, kv_heads=kv_heads, dtype=torch.float32)
    expected = plan_attention(batch, BLOCK_TOKENS, decodes)(
        queries.float().cpu(), PagedLayer(entries.float().cpu(), kv_heads, value_dim), 0.2
    )
    group = paged_decodes([0, 1, 2], batch.block_tables.to(DEVICE), batch.context_lengths.to(DEVICE))
    got = group.attend(queries, layer, 0.2).flatten(1).float().cpu()
    tolerance = 1e-5 if dtype == torch.float32 else 5e-3
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("counts", [[0, 5, 0, 37], [16, 16, 1, 0], [0, 0, 0, 3]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_each_row_meets_the_matrix_of_its_expert(counts: list[int], dtype: torch.dtype) -> None:
    from inference.engine.operators.triton_experts import (
        ExpertTiles,
        grouped_linear,
        grouped_linear_reference,
    )

    torch.manual_seed(2)
    rows = torch.randn(sum(counts), 48).to(DEVICE, dtype)
    weights = torch.randn(4, 70, 48).to(DEVICE, dtype)
    tiles = ExpertTiles.of(torch.tensor(counts, device=DEVICE), sum(counts))
    expected = grouped_linear_reference(rows.float(), weights.float(), counts)
    error = (grouped_linear(rows, weights, tiles).float() - expected).norm() / expected.norm()
    assert float(error) < (1e-6 if dtype == torch.float32 else 5e-3)


@pytest.mark.parametrize("shape", ["qwen3", "deepseek-v3"])
def test_a_model_on_the_kernels_has_the_logits_of_one_on_plain_torch(
    shape: str, checkpoint: Callable[[str], Path]
) -> None:
    from inference.engine.models import LoadOptions, load_model
    from tests.engine.models.stepping import Stepper

    steps = ({"a": [5, 6, 7], "b": [9]}, {"a": [8], "b": [10]}, {"b": [11], "c": [4, 4], "a": [3]})
    plain, kernels = (
        Stepper(load_model(checkpoint(shape), LoadOptions(kernels=kernels, packing="plain", device=DEVICE)))
        for kernels in ("torch", "triton")
    )
    assert kernels.model.spec.kernels.startswith("triton")
    for step in steps:
        torch.testing.assert_close(kernels.step(step), plain.step(step), rtol=1e-3, atol=1e-3)
