from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inference.engine.options import EngineOptions

pytestmark = pytest.mark.slow  # torch alone takes seconds to import


def container(folder: Path, limit: str, taken: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{taken}\n")
    return folder


def test_a_container_s_limit_counts_where_it_is_the_tighter_one(tmp_path: Path) -> None:
    from inference.engine.memory import free_memory_bytes

    machine = free_memory_bytes("cpu", tmp_path)
    assert machine > 1000
    assert free_memory_bytes("cpu", container(tmp_path, "1500", "500")) == 1000
    assert free_memory_bytes("cpu", container(tmp_path, "500", "1500")) == 0
    assert free_memory_bytes("cpu", container(tmp_path, "max", "500")) > 1000


@pytest.mark.parametrize("shape", ["llama", "qwen2", "qwen3", "deepseek-v2", "deepseek-v3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_takes_no_more_than_was_planned_and_its_cache_just_that(
    checkpoint: Callable[[str], Path], shape: str, dtype: str
) -> None:
    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    options = EngineOptions(dtype, cache_tokens=640)
    plan = plan_memory(checkpoint(shape), options)
    engine = load_engine(checkpoint(shape), options)
    engine.close()
    assert 0.4 * plan.weight_bytes < engine.description.weight_bytes <= plan.weight_bytes
    assert engine.description.cache_bytes == plan.cache_bytes
    assert plan.cache_tokens == 640


@pytest.mark.parametrize("shape", ["llama", "qwen3", "deepseek-v3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cache_is_its_blocks_and_not_a_byte_more(
    checkpoint: Callable[[str], Path], shape: str, dtype: str
) -> None:
    from inference.engine.models import LoadOptions, load_model

    model = load_model(checkpoint(shape), LoadOptions(dtype))
    cache = model.new_cache(7, 16)
    assert cache.nbytes == 7 * 16 * model.spec.cache_bytes_per_token
    layers = {layer.entries.data_ptr(): layer.entries.nbytes for layer in cache.layers}
    assert sum(layers.values()) == cache.nbytes


def test_without_a_wish_the_cache_takes_at_most_a_quarter_of_the_budget(
    checkpoint: Callable[[str], Path],
) -> None:
    from inference.engine.memory import plan_memory

    plan = plan_memory(checkpoint("llama"), EngineOptions("float32", memory_bytes=1 << 20))
    assert 1 << 17 < plan.cache_bytes <= 1 << 18


@pytest.mark.parametrize(
    ("dtype", "quantize"),
    [
        ("float32", "packed"),
        ("float32", "auto"),
        ("float32", "none"),
        ("bfloat16", "packed"),
        ("bfloat16", "auto"),
        ("bfloat16", "none"),
    ],
)
def test_the_default_model_takes_no_more_than_was_planned(
    dtype: str, quantize: str, default_model: Path
) -> None:
    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    options = EngineOptions(dtype, quantize=quantize, cache_tokens=640)
    plan = plan_memory(default_model, options)
    engine = load_engine(default_model, options)
    engine.close()
    assert 0.8 * plan.weight_bytes < engine.description.weight_bytes <= plan.weight_bytes


@pytest.mark.parametrize("shape", ["llama", "deepseek-v3"])
def test_a_sixteen_bit_file_s_weights_that_are_not_packed_count_in_the_rows_format(
    shape: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Norms, the router, and what latent attention absorbs."""
    import torch
    from safetensors.torch import load_file, save_file

    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    (tmp_path / "config.json").write_bytes((checkpoint(shape) / "config.json").read_bytes())
    weights = load_file(checkpoint(shape) / "model.safetensors")
    save_file(
        {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}, tmp_path / "model.safetensors"
    )
    options = EngineOptions("float32", packing="float16-weights", cache_tokens=640)
    plan = plan_memory(tmp_path, options)
    engine = load_engine(tmp_path, options)
    engine.close()
    assert engine.description.weight_bytes == plan.weight_bytes


@pytest.mark.parametrize("total_tokens", [None, 100])
def test_what_transformers_serves_is_planned_with_the_cache_of_its_longest_request(
    total_tokens: int | None, checkpoint: Callable[[str], Path]
) -> None:
    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    options = EngineOptions("float32", engine="transformers", total_tokens=total_tokens)
    plan = plan_memory(checkpoint("qwen2"), options)
    engine = load_engine(checkpoint("qwen2"), options)
    engine.close()
    assert plan.weight_bytes == pytest.approx(engine.description.weight_bytes, rel=0.01)
    keys_and_values = 2 * 2 * 2 * 16 * 4  # of a token: layers, kv heads, their size, bytes
    assert plan.cache_bytes == engine.description.cache_bytes == keys_and_values * (total_tokens or 512)
    assert plan.cache_tokens is None


@pytest.mark.parametrize("shape", ["llama", "qwen3", "deepseek-v2", "deepseek-v3"])
def test_a_request_s_cache_is_what_transformers_caches(shape: str, checkpoint: Callable[[str], Path]) -> None:
    import torch
    import transformers

    from inference.engine.memory import request_cache_bytes

    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint(shape), dtype=torch.float32)
    cache = transformers.DynamicCache(config=model.config)
    with torch.inference_mode():
        model(torch.arange(48)[None], past_key_values=cache, use_cache=True)
    held_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert request_cache_bytes(model.config, torch.float32, 48) == held_bytes


def test_a_configuration_that_does_not_tell_the_sizes_plans_no_cache() -> None:
    import torch
    import transformers

    from inference.engine.memory import request_cache_bytes

    assert request_cache_bytes(transformers.MambaConfig(), torch.float32, None) == 0
    gpt2 = transformers.GPT2Config(n_layer=2, n_head=4, n_embd=32, n_positions=10)  # names of its own
    assert request_cache_bytes(gpt2, torch.float32, None) == 2 * 2 * 32 * 10 * 4


@pytest.mark.skipif(
    Path("/proc/sys/vm/overcommit_memory").is_file()
    and Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "1",
    reason="this system promises any amount of memory",
)
def test_a_cache_too_large_is_refused_before_its_blocks_are_listed(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.engine import blocks
    from inference.engine.load import load_engine

    def listed(*_: object) -> None:
        raise AssertionError("the blocks are listed before there is a cache")

    monkeypatch.setattr(blocks, "BlockPool", listed)
    with pytest.raises(MemoryError):
        load_engine(checkpoint("llama"), EngineOptions("float32", cache_tokens=2**37))


def test_a_gpu_without_room_is_too_little_memory_as_a_machine_without_is(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from inference.engine.load import load_engine
    from inference.engine.models.load import LoadedNetwork

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LoadedNetwork, "new_cache", full)
    with pytest.raises(MemoryError):
        load_engine(checkpoint("llama"), EngineOptions("float32"))
