"""Llama, Qwen2 and Qwen3: one decoder. Qwen2's biases come along with its matrices, Qwen3's norms by shape.

Sources: Touvron et al., "LLaMA", 2023; "Qwen2 Technical Report", 2024; "Qwen3 Technical Report", 2025; tensor
names as in transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.batch import Batch
from inference.engine.models.cache import PagedCache
from inference.engine.models.config import DenseShape
from inference.engine.models.layers import Ends, GatedFeedForward, RmsNorm
from inference.engine.models.source import WeightSource
from inference.engine.operators.attention import AttentionPlan, PagedLayer
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear
from inference.engine.operators.rotation import Rotation


@dataclass(frozen=True, slots=True)
class _Attention:
    """Grouped-query attention (Ainslie et al., "GQA", 2023)."""

    shape: DenseShape
    qkv: Linear
    output: Linear
    kernels: Kernels
    query_norm: RmsNorm | None
    key_norm: RmsNorm | None

    @classmethod
    def load(cls, source: WeightSource, prefix: str, shape: DenseShape) -> _Attention:
        query_size, key_size = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        names = [f"{prefix}.{name}_proj" for name in ("q", "k", "v")]
        norms = [
            RmsNorm.load(source, f"{prefix}.{name}_norm", shape.head_dim, shape.norm_eps)
            if shape.query_key_norm
            else None
            for name in ("q", "k")
        ]
        return cls(
            shape,
            source.linear(names, shape.hidden, [query_size, key_size, key_size]),
            source.linear([f"{prefix}.o_proj"], query_size, [shape.hidden]),
            source.kernels,
            *norms,
        )

    def __call__(
        self, rows: Tensor, rotation: Rotation, slots: Tensor, plan: AttentionPlan, layer: PagedLayer
    ) -> Tensor:
        shape = self.shape
        heads = self.qkv(rows).view(len(rows), -1, shape.head_dim)
        queries = heads[:, : shape.heads]
        if self.query_norm is not None and self.key_norm is not None:
            queries.copy_(self.query_norm(queries))
            keys = heads[:, shape.heads : shape.heads + shape.kv_heads]
            keys.copy_(self.key_norm(keys))
        self.kernels.rotate_and_write(heads, shape.heads, rotation, slots, layer)
        return self.output(plan(queries, layer, shape.head_dim**-0.5))


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: RmsNorm
    attention: _Attention
    feed_forward_norm: RmsNorm
    feed_forward: GatedFeedForward

    @classmethod
    def load(cls, source: WeightSource, index: int, shape: DenseShape) -> _Layer:
        prefix = f"model.layers.{index}"
        return cls(
            RmsNorm.load(source, f"{prefix}.input_layernorm", shape.hidden, shape.norm_eps),
            _Attention.load(source, f"{prefix}.self_attn", shape),
            RmsNorm.load(source, f"{prefix}.post_attention_layernorm", shape.hidden, shape.norm_eps),
            GatedFeedForward.load(source, f"{prefix}.mlp", shape.hidden, shape.intermediate),
        )


@dataclass(frozen=True, slots=True)
class DenseDecoder:
    """A network of `Network`'s face."""

    shape: DenseShape
    ends: Ends
    layers: tuple[_Layer, ...]
    frequencies: Tensor
    kernels: Kernels

    @classmethod
    def load(cls, source: WeightSource, shape: DenseShape, device: torch.device) -> DenseDecoder:
        """Take every weight.

        Raises:
            ValueError: a tensor is missing or of another shape.
        """
        return cls(
            shape,
            Ends.load(
                source,
                shape.vocabulary_tokens,
                shape.hidden,
                shape.norm_eps,
                tied=shape.tied_embeddings,
            ),
            tuple(_Layer.load(source, index, shape) for index in range(shape.layers)),
            shape.rope.frequencies().to(device),
            source.kernels,
        )

    def new_cache(self, blocks: int, block_tokens: int, like: Tensor) -> PagedCache:
        """An empty cache on the device and in the number format of `like`."""
        shape = self.shape
        return PagedCache.of_heads(shape.layers, shape.kv_heads, shape.head_dim, blocks, block_tokens, like)

    def forward(self, batch: Batch, cache: PagedCache) -> Tensor:
        """[rows, vocabulary] float32."""
        rows = self.ends.embedding(batch.token_ids)
        rope = self.shape.rope
        rotation = Rotation.at(batch.positions, self.frequencies, rope.attention_factor, rows.dtype)
        plan = self.kernels.plan(
            batch, block_tokens=cache.block_tokens, kv_heads=self.shape.kv_heads, dtype=rows.dtype
        )
        for layer, cached in zip(self.layers, cache.layers, strict=True):
            rows = rows + layer.attention(layer.attention_norm(rows), rotation, batch.slots, plan, cached)
            rows = rows + layer.feed_forward(layer.feed_forward_norm(rows))
        return self.ends.logits(rows, batch.logit_rows)
