"""A checkpoint's `config.json` as typed shapes, one class a family.

Field names and defaults are those of transformers' configuration classes, which the hub's checkpoints follow;
both forms of the rotary parameters are read (`rope_parameters`, and the older `rope_theta` with
`rope_scaling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from inference.engine.models.rope import Rope

_DENSE = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
_LLAMA = _DENSE | {"vocab_size": 32_000, "intermediate_size": 11_008, "max_position_embeddings": 2048}
_QWEN2 = _DENSE | {
    "vocab_size": 151_936,
    "intermediate_size": 22_016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
}
_LATENT = {
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "LlamaForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": _QWEN2,
    "Qwen3ForCausalLM": _QWEN2 | {"head_dim": 128},
    "DeepseekV2ForCausalLM": _LLAMA
    | _LATENT
    | {
        "vocab_size": 102_400,
        "moe_intermediate_size": 1407,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "first_k_dense_replace": 0,
        "topk_method": "greedy",
        "routed_scaling_factor": 1.0,
    },
    "DeepseekV3ForCausalLM": _DENSE
    | _LATENT
    | {
        "vocab_size": 129_280,
        "hidden_size": 7168,
        "intermediate_size": 18_432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "n_group": 8,
        "topk_group": 4,
        "first_k_dense_replace": 3,
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "max_position_embeddings": 4096,
        "rope_interleave": True,
    },
}
"""What a field that `config.json` leaves out means, by the architecture's name."""


class UnsupportedArchitecture(Exception):  # noqa: N818 (it is no failure: another engine serves the model)
    """This engine doesn't know the model; the text is one line that says what it doesn't know."""


@dataclass(frozen=True, slots=True)
class DenseShape:
    """Llama, Qwen2 and Qwen3: grouped-query attention and one gated feed-forward network a layer."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary_tokens: int
    context_tokens: int
    norm_eps: float
    tied_embeddings: bool
    query_key_norm: bool
    rope: Rope

    @property
    def cache_numbers_per_token(self) -> int:
        """Numbers that a token has in the cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class ExpertsShape:
    """Routed and shared experts of DeepSeek (DeepSeekMoE, 2024; DeepSeek-V3, 2024, section 2.1.2).

    Attributes:
        scoring: `softmax` (V2) or `sigmoid` with a correction bias (V3).
        group_score_experts: how many of a group's best experts make its score; 1 in V2, 2 in V3.
    """

    intermediate: int
    routed: int
    shared: int
    per_token: int
    groups: int
    groups_per_token: int
    group_score_experts: int
    scoring: str
    normalise: bool
    scale: float


@dataclass(frozen=True, slots=True)
class LatentShape:
    """DeepSeek-V2 and V3: multi-head latent attention, dense layers first, then layers of experts."""

    layers: int
    dense_layers: int
    hidden: int
    intermediate: int
    heads: int
    query_rank: int | None
    latent: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    vocabulary_tokens: int
    context_tokens: int
    norm_eps: float
    tied_embeddings: bool
    softmax_scale: float
    interleaved: bool
    experts: ExpertsShape
    rope: Rope

    @property
    def cache_numbers_per_token(self) -> int:
        """Numbers that a token has in the cache, over all layers."""
        return self.layers * (self.latent + self.rope_dim)


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's `config.json`.

    Raises:
        OSError: it can't be read.
        ValueError: it isn't JSON.
        UnsupportedArchitecture: its weights are stored in a number format that only other engines read.
    """
    config: dict[str, Any] = orjson.loads((folder / "config.json").read_bytes())
    if quantization := config.get("quantization_config"):
        method = quantization.get("quant_method", "unnamed")
        raise UnsupportedArchitecture(f"the checkpoint's weights are quantized by {method!r}")
    if config.get("hidden_act", "silu") != "silu":
        raise UnsupportedArchitecture(f"the activation is {config['hidden_act']!r}, not 'silu'")
    return config


def dense_shape(config: Mapping[str, Any], *, query_key_norm: bool) -> DenseShape:
    """The shape of a Llama, Qwen2 or Qwen3; `config` with the defaults of its architecture.

    Raises:
        UnsupportedArchitecture: a sliding window or a rotary scaling that isn't known here.
    """
    _refuse_sliding_window(config)
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    return DenseShape(
        layers=int(config["num_hidden_layers"]),
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        vocabulary_tokens=int(config["vocab_size"]),
        context_tokens=int(config["max_position_embeddings"]),
        norm_eps=float(config["rms_norm_eps"]),
        tied_embeddings=bool(config["tie_word_embeddings"]),
        query_key_norm=query_key_norm,
        rope=_rope(config, head_dim),
    )


def latent_shape(config: Mapping[str, Any], *, version: int) -> LatentShape:
    """The shape of a DeepSeek-V2 (`version` 2) or V3; `config` with the defaults of its architecture.

    Raises:
        UnsupportedArchitecture: a routing or a rotary scaling that isn't known here.
    """
    nope, rope_dim = int(config["qk_nope_head_dim"]), int(config["qk_rope_head_dim"])
    rope = _rope(config, rope_dim)
    return LatentShape(
        layers=int(config["num_hidden_layers"]),
        dense_layers=int(config["first_k_dense_replace"]),
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        heads=int(config["num_attention_heads"]),
        query_rank=config["q_lora_rank"],
        latent=int(config["kv_lora_rank"]),
        nope_dim=nope,
        rope_dim=rope_dim,
        value_dim=int(config["v_head_dim"]),
        vocabulary_tokens=int(config["vocab_size"]),
        context_tokens=int(config["max_position_embeddings"]),
        norm_eps=float(config["rms_norm_eps"]),
        tied_embeddings=bool(config["tie_word_embeddings"]),
        softmax_scale=(nope + rope_dim) ** -0.5 * rope.all_dim_scale**2,
        interleaved=version == 2 or bool(config["rope_interleave"]),
        experts=_experts_v2(config) if version == 2 else _experts_v3(config),
        rope=rope,
    )


def _experts_v2(config: Mapping[str, Any]) -> ExpertsShape:
    method = config["topk_method"]
    if method not in ("greedy", "group_limited_greedy"):
        raise UnsupportedArchitecture(f"the routing method is {method!r}")
    limited = method == "group_limited_greedy"
    return ExpertsShape(
        intermediate=int(config["moe_intermediate_size"]),
        routed=int(config["n_routed_experts"]),
        shared=int(config["n_shared_experts"] or 0),
        per_token=int(config["num_experts_per_tok"]),
        groups=int(config["n_group"]) if limited else 1,
        groups_per_token=int(config["topk_group"]) if limited else 1,
        group_score_experts=1,
        scoring="softmax",
        normalise=False,
        scale=float(config["routed_scaling_factor"]),
    )


def _experts_v3(config: Mapping[str, Any]) -> ExpertsShape:
    return ExpertsShape(
        intermediate=int(config["moe_intermediate_size"]),
        routed=int(config["n_routed_experts"]),
        shared=int(config["n_shared_experts"] or 0),
        per_token=int(config["num_experts_per_tok"]),
        groups=int(config["n_group"] or 1),
        groups_per_token=int(config["topk_group"] or 1),
        group_score_experts=2,
        scoring="sigmoid",
        normalise=bool(config["norm_topk_prob"]),
        scale=float(config["routed_scaling_factor"]),
    )


def _refuse_sliding_window(config: Mapping[str, Any]) -> None:
    windowed = config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ())
    if windowed and config.get("sliding_window"):
        raise UnsupportedArchitecture("the model attends within a sliding window")


def _rope(config: Mapping[str, Any], dim: int) -> Rope:
    parameters = dict(config.get("rope_scaling") or {}) | dict(config.get("rope_parameters") or {})
    kind = str(parameters.get("rope_type") or parameters.get("type") or "default")
    if kind not in Rope.KINDS:
        raise UnsupportedArchitecture(f"the rotary scaling is {kind!r}; known: {', '.join(Rope.KINDS)}")
    if parameters.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        raise UnsupportedArchitecture("only a part of each head is rotated")
    theta = float(parameters.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    return Rope(kind, dim, theta, int(config["max_position_embeddings"]), parameters)
