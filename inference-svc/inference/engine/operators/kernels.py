"""The steps of a layer beside its products: one port, because some machines have faster forms of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.batch import Batch
from inference.engine.lora.linear import AdaptedLinear, Delta, StepAdapters
from inference.engine.operators.attention import (
    AttentionPlan,
    Group,
    PagedLayer,
    batched_decodes,
    plan_attention,
)
from inference.engine.operators.linear import Linear
from inference.engine.operators.rotation import Rotation


class Kernels(Protocol):
    """What a layer computes beside its products."""

    @property
    def name(self) -> str:
        """What `/info` and the log call them."""
        ...

    def rms_norm(self, rows: Tensor, weight: Tensor, eps: float) -> Tensor:
        """`rows / sqrt(mean(rows ** 2) + eps) * weight` over the last axis; computed in float32."""
        ...

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """From [rows, 2 * size], gates first, to `silu(gate) * up`, [rows, size]."""
        ...

    def rotate_and_write(
        self, heads: Tensor, queries: int, rotation: Rotation, slots: Tensor, layer: PagedLayer
    ) -> None:
        """Rotate queries and keys of [tokens, heads, dim] in place; put keys and values into the cache.

        Args:
            heads: the queries, then the keys, then the values.
            queries: how many of the heads are queries.
            rotation: by what.
            slots: [tokens] int64.
            layer: of the cache.
        """
        ...

    def plan(self, batch: Batch, *, block_tokens: int, kv_heads: int, dtype: torch.dtype) -> AttentionPlan:
        """How a step's sequences attend, over a cache of such blocks, heads and numbers."""
        ...

    def adapted(self, base: Linear, deltas: Mapping[str, Delta], step: StepAdapters) -> AdaptedLinear:
        """A product with what adapters add to it, by their names."""
        ...


class TorchKernels:
    """Plain torch, for every device and number format."""

    name = "torch"

    def rms_norm(self, rows: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Written out, because on a CPU torch's own takes three times as long for one row."""
        wide = rows.to(torch.float32)
        squares = torch.linalg.vecdot(wide, wide).unsqueeze(-1)
        normal: Tensor = wide * squares.mul_(1.0 / rows.shape[-1]).add_(eps).rsqrt_()
        return normal.to(rows.dtype).mul_(weight)

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """From [rows, 2 * size] to [rows, size]."""
        gate, up = gate_up.chunk(2, -1)
        return functional.silu(gate).mul_(up)

    def rotate_and_write(
        self, heads: Tensor, queries: int, rotation: Rotation, slots: Tensor, layer: PagedLayer
    ) -> None:
        """Rotate in place and write."""
        rotation.rotate_(heads[:, : queries + layer.kv_heads])
        layer.write(slots, heads[:, queries:])

    def plan(self, batch: Batch, *, block_tokens: int, kv_heads: int, dtype: torch.dtype) -> AttentionPlan:
        """Decodes together, prompts one by one."""
        decodes = partial(self.decodes, block_tokens=block_tokens, kv_heads=kv_heads, dtype=dtype)
        return plan_attention(batch, block_tokens, decodes)

    def adapted(self, base: Linear, deltas: Mapping[str, Delta], step: StepAdapters) -> AdaptedLinear:
        """One adapter after the other."""
        return AdaptedLinear(base, deltas, step)

    def decodes(
        self,
        rows: Sequence[int],
        tables: Tensor,
        lengths: Tensor,
        *,
        block_tokens: int,
        kv_heads: int,
        dtype: torch.dtype,
    ) -> list[Group]:
        """Two batched products around a softmax."""
        return batched_decodes(
            rows, tables, lengths, block_tokens=block_tokens, kv_heads=kv_heads, dtype=dtype
        )


class TritonKernels(TorchKernels):
    """Plain torch but for the attention of decodes, and (in `models.experts`) routed experts."""

    name = "triton"

    def decodes(
        self,
        rows: Sequence[int],
        tables: Tensor,
        lengths: Tensor,
        *,
        block_tokens: int,
        kv_heads: int,
        dtype: torch.dtype,
    ) -> list[Group]:
        """One kernel for all sequences; `block_tokens` is 16 or a larger power of two."""
        from inference.engine.operators.triton_attention import paged_decodes

        return [paged_decodes(rows, tables, lengths)]
