"""DeepSeek-V2 and V3: multi-head latent attention, and layers of experts after the first dense ones.

Sources: "DeepSeek-V2", 2024, section 2.1; "DeepSeek-V3 Technical Report", 2024, section 2.1. The cache holds
one latent and one rotated key a token, for all heads together; the matrices that would make keys and values
of it are absorbed: that of the keys is applied to the queries, that of the values to what was attended to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.batch import Batch
from inference.engine.models.cache import PagedCache
from inference.engine.models.config import LatentShape
from inference.engine.models.experts import Experts
from inference.engine.models.layers import Ends, GatedFeedForward, RmsNorm
from inference.engine.models.rope import halves_first
from inference.engine.models.source import Reorder, WeightSource
from inference.engine.operators.attention import AttentionPlan, PagedLayer
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear
from inference.engine.operators.rotation import Rotation

_INNER_NORM_EPS = 1e-6  # of the norms inside the attention, whatever the configuration says of the others


@dataclass(frozen=True, slots=True)
class _Queries:
    """Rows to queries, directly or through a latent of their own."""

    down: Linear | None
    norm: RmsNorm | None
    up: Linear

    @classmethod
    def load(cls, source: WeightSource, prefix: str, shape: LatentShape, reorder: Reorder | None) -> _Queries:
        size = shape.heads * (shape.nope_dim + shape.rope_dim)
        if shape.query_rank is None:
            return cls(None, None, source.linear([f"{prefix}.q_proj"], shape.hidden, [size], reorder))
        rank = shape.query_rank
        return cls(
            source.linear([f"{prefix}.q_a_proj"], shape.hidden, [rank]),
            RmsNorm.load(source, f"{prefix}.q_a_layernorm", rank, _INNER_NORM_EPS),
            source.linear([f"{prefix}.q_b_proj"], rank, [size], reorder),
        )

    def __call__(self, rows: Tensor) -> Tensor:
        if self.down is None or self.norm is None:
            return self.up(rows)
        return self.up(self.norm(self.down(rows)))


@dataclass(frozen=True, slots=True)
class _Attention:
    """Multi-head latent attention.

    Attributes:
        key_up: [heads, nope_dim, latent].
        value_up: [heads, latent, value_dim].
    """

    shape: LatentShape
    queries: _Queries
    latent: Linear
    latent_norm: RmsNorm
    key_up: Tensor
    value_up: Tensor
    output: Linear

    @classmethod
    def load(cls, source: WeightSource, prefix: str, shape: LatentShape) -> _Attention:
        up_size = shape.nope_dim + shape.value_dim
        up = source.tensor(f"{prefix}.kv_b_proj.weight", shape.heads * up_size, shape.latent)
        up = up.view(shape.heads, up_size, shape.latent)
        return cls(
            shape,
            _Queries.load(source, prefix, shape, _halves(shape, shape.heads)),
            source.linear(
                [f"{prefix}.kv_a_proj_with_mqa"],
                shape.hidden,
                [shape.latent + shape.rope_dim],
                _halves(shape, 1),
            ),
            RmsNorm.load(source, f"{prefix}.kv_a_layernorm", shape.latent, _INNER_NORM_EPS),
            up[:, : shape.nope_dim].contiguous(),
            up[:, shape.nope_dim :].transpose(1, 2).contiguous(),
            source.linear([f"{prefix}.o_proj"], shape.heads * shape.value_dim, [shape.hidden]),
        )

    def __call__(
        self, rows: Tensor, rotation: Rotation, slots: Tensor, plan: AttentionPlan, layer: PagedLayer
    ) -> Tensor:
        shape = self.shape
        entries = self.latent(rows)
        latents = self.latent_norm(entries[:, : shape.latent])[:, None]
        keys = torch.cat((latents, rotation(entries[:, None, shape.latent :])), -1)
        layer.write(slots, keys)
        heads = self.queries(rows).view(len(rows), shape.heads, -1)
        absorbed = torch.bmm(heads[..., : shape.nope_dim].transpose(0, 1), self.key_up).transpose(0, 1)
        queries = torch.cat((absorbed, rotation(heads[..., shape.nope_dim :])), -1)
        attended = plan(queries, layer, shape.softmax_scale).view(len(rows), shape.heads, -1)
        values = torch.bmm(attended.transpose(0, 1), self.value_up).transpose(0, 1)
        return self.output(values.reshape(len(rows), -1))


def _halves(shape: LatentShape, heads: int) -> Reorder | None:
    if not shape.interleaved:
        return None
    return lambda weight: halves_first(weight, heads, shape.rope_dim)


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: RmsNorm
    attention: _Attention
    feed_forward_norm: RmsNorm
    feed_forward: GatedFeedForward | Experts

    @classmethod
    def load(cls, source: WeightSource, index: int, shape: LatentShape) -> _Layer:
        prefix, hidden = f"model.layers.{index}", shape.hidden
        dense = index < shape.dense_layers
        return cls(
            RmsNorm.load(source, f"{prefix}.input_layernorm", hidden, shape.norm_eps),
            _Attention.load(source, f"{prefix}.self_attn", shape),
            RmsNorm.load(source, f"{prefix}.post_attention_layernorm", hidden, shape.norm_eps),
            GatedFeedForward.load(source, f"{prefix}.mlp", hidden, shape.intermediate)
            if dense
            else Experts.load(source, f"{prefix}.mlp", hidden, shape.experts),
        )


@dataclass(frozen=True, slots=True)
class LatentDecoder:
    """A network of `Network`'s face."""

    shape: LatentShape
    ends: Ends
    layers: tuple[_Layer, ...]
    frequencies: Tensor
    kernels: Kernels

    @classmethod
    def load(cls, source: WeightSource, shape: LatentShape, device: torch.device) -> LatentDecoder:
        """Take every weight; those of V3's extra layer for multi-token prediction stay in the file.

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
        return PagedCache.of_latents(shape.layers, shape.latent, shape.rope_dim, blocks, block_tokens, like)

    def forward(self, batch: Batch, cache: PagedCache) -> Tensor:
        """[rows, vocabulary] float32."""
        rows = self.ends.embedding(batch.token_ids)
        rope = self.shape.rope
        rotation = Rotation.at(batch.positions, self.frequencies, rope.attention_factor, rows.dtype)
        plan = self.kernels.plan(batch, block_tokens=cache.block_tokens, kv_heads=1, dtype=rows.dtype)
        for layer, cached in zip(self.layers, cache.layers, strict=True):
            rows = rows + layer.attention(layer.attention_norm(rows), rotation, batch.slots, plan, cached)
            rows = rows + layer.feed_forward(layer.feed_forward_norm(rows))
        return self.ends.logits(rows, batch.logit_rows)
