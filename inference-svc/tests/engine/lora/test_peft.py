from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.engine.lora.peft import adapter_numbers, read_adapter
from inference.engine.models import LoadOptions, load_model
from tests.engine.lora.adapter_files import write_adapter

pytestmark = pytest.mark.slow
Checkpoints = Callable[[str], Path]
QUERY = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "the peft_type 'IA3', not 'LORA'"),
        ({"use_dora": True}, "has use_dora, which isn't supported"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save,"),
        ({"rank_pattern": {"q_proj": 8}}, "has rank_pattern,"),
        ({"alpha_pattern": {"q_proj": 8}}, "has alpha_pattern,"),
        ({"bias": "all"}, "has bias,"),
        ({"fan_in_fan_out": True}, "has fan_in_fan_out,"),
        ({"alora_invocation_tokens": [1]}, "has alora_invocation_tokens,"),
        ({"use_a_field_of_tomorrow": True}, "has use_a_field_of_tomorrow,"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa', which changes the base model"),
        ({"r": None}, "doesn't tell r"),
        ({"r": 8}, "not those of the rank 8"),
    ],
)
def test_what_is_not_computed_is_refused_by_the_name_of_its_field(
    config: dict[str, Any], said: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    place = write_adapter(tmp_path / "adapter", checkpoint("llama"), **config)
    with pytest.raises(ValueError, match=f"the adapter mine .*{said}"):
        read_adapter("mine", place)


def with_tensors(place: Path, **tensors: torch.Tensor | None) -> Path:
    """The adapter with other tensors; None takes one away."""
    file = place / "adapter_model.safetensors"
    changed = {**load_file(file), **tensors}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, file)
    return place


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({f"{QUERY}.lora_B.weight": None}, r"has only lora_A of model\.layers\.0\.self_attn\.q_proj"),
        ({f"{QUERY}.lora_magnitude_vector": torch.ones(4)}, "which is no matrix of a linear layer"),
        ({f"{QUERY}.lora_B.bias": torch.ones(4)}, "which is no matrix of a linear layer"),
    ],
)
def test_tensors_that_make_no_pair_are_named(
    tensors: dict[str, Any], said: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    place = with_tensors(write_adapter(tmp_path / "adapter", checkpoint("llama")), **tensors)
    with pytest.raises(ValueError, match=said):
        read_adapter("mine", place)


def pair(module: str, outputs: int, inputs: int) -> dict[str, torch.Tensor]:
    prefix = f"base_model.model.{module}"
    return {
        f"{prefix}.lora_A.weight": torch.ones(4, inputs),
        f"{prefix}.lora_B.weight": torch.ones(outputs, 4),
    }


@pytest.mark.parametrize(
    ("shape", "tensors", "said"),
    [
        ("llama", pair("model.layers.0.self_attn.q_proj", 32, 64), r"another base.*\[32, 64\], not \[64"),
        ("llama", pair("model.layers.9.self_attn.q_proj", 64, 64), "which this model doesn't have"),
        ("llama", pair("lm_head", 1024, 64), "lm_head: embeddings and output matrix aren't adapted"),
        ("deepseek-v3", pair("model.layers.0.self_attn.kv_b_proj", 128, 32), "latent attention absorbs it"),
        ("deepseek-v3", pair("model.layers.1.mlp.experts.0.up_proj", 32, 64), "routed experts aren't"),
        ("deepseek-v3", pair("model.layers.1.mlp.gate", 8, 64), "the router isn't adapted"),
    ],
)  # fmt: skip
def test_a_module_that_the_model_does_not_adapt_is_named_with_the_reason(
    shape: str, tensors: dict[str, torch.Tensor], said: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = checkpoint(shape)
    place = with_tensors(write_adapter(tmp_path / "adapter", folder, targets="o_proj"), **tensors)
    with pytest.raises(ValueError, match=said):
        load_model(folder, LoadOptions(adapters=[read_adapter("mine", place)]))


def test_a_damaged_file_is_named(checkpoint: Checkpoints, tmp_path: Path) -> None:
    place = write_adapter(tmp_path / "adapter", checkpoint("llama"))
    (place / "adapter_model.safetensors").write_bytes(b"not a tensor in sight")
    for read in (lambda: read_adapter("mine", place), lambda: adapter_numbers(place)):
        with pytest.raises(OSError, match="not a whole safetensors file"):
            read()


def test_the_numbers_of_an_adapter_are_those_of_its_tensors(checkpoint: Checkpoints, tmp_path: Path) -> None:
    place = write_adapter(tmp_path / "adapter", checkpoint("llama"))
    tensors = load_file(place / "adapter_model.safetensors").values()
    assert adapter_numbers(place) == sum(tensor.numel() for tensor in tensors)
    assert orjson.loads((place / "adapter_config.json").read_bytes())["r"] == 4
