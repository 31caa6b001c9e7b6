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
    ("dtype", "quantize"), [("float32", "packed"), ("bfloat16", "packed"), ("bfloat16", "auto")]
)
def test_the_default_model_s_own_blocks_take_no_more_than_was_planned(
    dtype: str, quantize: str, default_model: Path
) -> None:
    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    options = EngineOptions(dtype, quantize=quantize, cache_tokens=640)
    plan = plan_memory(default_model, options)
    engine = load_engine(default_model, options)
    engine.close()
    assert 0.8 * plan.weight_bytes < engine.description.weight_bytes <= plan.weight_bytes


def test_what_transformers_serves_is_planned_by_its_weights_alone(checkpoint: Callable[[str], Path]) -> None:
    from inference.engine.load import load_engine
    from inference.engine.memory import plan_memory

    options = EngineOptions("float32", engine="transformers")
    plan = plan_memory(checkpoint("qwen2"), options)
    engine = load_engine(checkpoint("qwen2"), options)
    engine.close()
    assert plan.total_bytes == pytest.approx(engine.description.weight_bytes, rel=0.01)
