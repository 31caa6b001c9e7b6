from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.engine.models import LoadOptions, UnsupportedArchitecture, load_model

pytestmark = pytest.mark.slow
Checkpoints = Callable[[str], Path]


def with_config(source: Path, target: Path, **differences: Any) -> Path:
    config = orjson.loads((source / "config.json").read_bytes()) | differences
    (target / "config.json").write_bytes(orjson.dumps(config))
    (target / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    return target


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "doesn't compute MambaForCausalLM; it knows Llama"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantized by 'fp8'"),
        ({"hidden_act": "gelu"}, "the activation is 'gelu'"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "the rotary scaling is 'dynamic'"),
        ({"use_sliding_window": True, "sliding_window": 64}, "sliding window"),
    ],
)
def test_what_the_engine_does_not_compute_is_left_to_another(
    differences: dict[str, Any], said: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = with_config(checkpoint("llama"), tmp_path, **differences)
    with pytest.raises(UnsupportedArchitecture, match=said):
        load_model(folder, LoadOptions())


def test_a_tensor_that_is_missing_is_named(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = with_config(checkpoint("llama"), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"has no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder, LoadOptions())


def test_a_tensor_of_another_shape_is_named_with_both_shapes(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = with_config(checkpoint("llama"), tmp_path, vocab_size=1000)
    with pytest.raises(ValueError, match=r"embed_tokens.* \[1024, 64\], not \[1000, 64\]"):
        load_model(folder, LoadOptions())


def test_a_damaged_file_is_named(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = with_config(checkpoint("llama"), tmp_path)
    (folder / "model.safetensors").write_bytes(b"not a tensor in sight")
    with pytest.raises(OSError, match="not a whole safetensors file"):
        load_model(folder, LoadOptions())


def test_weights_in_several_files_are_found_by_their_index(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = with_config(checkpoint("llama"), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (folder / "model.safetensors.index.json").write_bytes(orjson.dumps(index))
    assert load_model(folder, LoadOptions()).spec.weight_bytes > 0


@pytest.mark.parametrize("shape", ["qwen2", "deepseek-v3"])
def test_the_cache_takes_the_bytes_a_token_that_the_model_says(shape: str, checkpoint: Checkpoints) -> None:
    model = load_model(checkpoint(shape), LoadOptions())
    cache = model.new_cache(blocks=7, block_tokens=16)
    assert (cache.blocks, cache.block_tokens) == (7, 16)
    assert cache.nbytes == 7 * 16 * model.spec.cache_bytes_per_token


def test_a_latent_cache_is_smaller_than_one_of_keys_and_values(checkpoint: Checkpoints) -> None:
    spec = load_model(checkpoint("deepseek-v3"), LoadOptions()).spec
    keys_and_values = 2 * 4 * (24 + 16) * torch.float32.itemsize
    assert spec.cache_bytes_per_token == 2 * (32 + 8) * torch.float32.itemsize < keys_and_values


def test_unknown_kernels_are_refused_with_those_there_are(checkpoint: Checkpoints) -> None:
    with pytest.raises(ValueError, match="there are: auto, torch, native, triton"):
        load_model(checkpoint("llama"), LoadOptions(kernels="magic"))
