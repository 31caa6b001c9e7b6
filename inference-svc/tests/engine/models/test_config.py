"""Parsed configurations against transformers' own classes, with fields left out."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from inference.engine.models.config import DEFAULTS, UnsupportedArchitecture
from inference.engine.models.load import shape_of
from inference.engine.models.rope import Rope

pytestmark = pytest.mark.slow
GIVEN = {
    "vocab_size": 1000,
    "hidden_size": 96,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 500,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_theta": 5000.0,
    "q_lora_rank": 20,
    "kv_lora_rank": 40,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 14,
    "moe_intermediate_size": 32,
    "n_routed_experts": 12,
    "n_shared_experts": 3,
    "num_experts_per_tok": 2,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 2,
    "topk_method": "group_limited_greedy",
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.5,
    "rope_interleave": False,
}
NEEDED = {"num_experts_per_tok", "n_group", "topk_group"}
"""Fields for which transformers' DeepSeek-V2 has no default with which it computes."""


def of_transformers(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Every field, with the values that transformers reads."""
    import transformers

    whole: dict[str, Any] = transformers.AutoConfig.for_model(
        {
            "LlamaForCausalLM": "llama",
            "Qwen2ForCausalLM": "qwen2",
            "Qwen3ForCausalLM": "qwen3",
            "DeepseekV2ForCausalLM": "deepseek_v2",
            "DeepseekV3ForCausalLM": "deepseek_v3",
        }[name],
        **given,
    ).to_dict()
    return whole | {"architectures": [name]}


def parsed(config: dict[str, Any]) -> tuple[Any, ...]:
    """What a model would be built by; of the rotation what it computes with."""
    _, shape = shape_of(config)
    plain = Rope("default", shape.rope.dim, shape.rope.theta, shape.rope.context_tokens)
    assert shape.rope.kind == "default"
    return tuple(getattr(replace(shape, rope=plain), each.name) for each in fields(shape))


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        (name, left_out)
        for name in DEFAULTS
        for left_out in (None, *GIVEN)
        if name != "DeepseekV2ForCausalLM" or left_out not in NEEDED
    ],
)
def test_a_field_that_is_left_out_means_what_it_means_to_transformers(
    name: str, left_out: str | None
) -> None:
    given = {field: value for field, value in GIVEN.items() if field != left_out}
    assert parsed(given | {"architectures": [name]}) == parsed(of_transformers(name, given))


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_configuration_without_any_field_is_the_class_s_own(name: str) -> None:
    given = {"num_experts_per_tok": 2} if name == "DeepseekV2ForCausalLM" else {}
    assert parsed(given | {"architectures": [name]}) == parsed(of_transformers(name, given))


@pytest.mark.parametrize("name", ["Qwen2ForCausalLM", "Qwen3ForCausalLM"])
def test_a_sliding_window_without_a_length_has_transformers_length(name: str) -> None:
    given = {"use_sliding_window": True, "max_window_layers": 1}
    assert of_transformers(name, given)["sliding_window"] == DEFAULTS[name]["sliding_window"]
    with pytest.raises(UnsupportedArchitecture, match="within a sliding window"):
        shape_of(given | {"architectures": [name]})
