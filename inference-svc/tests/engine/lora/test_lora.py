"""Adapters against transformers on weights into which they were merged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.checkpoint.gguf_convert import convert_gguf
from inference.engine.batch import AdapterRows
from inference.engine.load import load_engine
from inference.engine.lora.linear import AdaptedLinear, Delta, Part, StepAdapters
from inference.engine.lora.peft import read_adapter
from inference.engine.models import LoadOptions, load_gguf_model, load_model
from inference.engine.operators.linear import PlainLinear
from inference.engine.options import EngineOptions
from inference.engine.port import Engine, GenerationRequest, Scheduled, Token
from inference.engine.step import adapter_rows
from inference.errors import GenerationFailedError
from scripts.make_checkpoint import SHAPES
from tests.engine.lora.adapter_files import DENSE, LATENT, merged, write_adapter
from tests.engine.models.stepping import Stepper
from tests.engine.models.test_load_gguf import quantized
from tests.engine.models.test_parity import prompts, reference, reference_logits
from tests.engine.test_engines import transformers_tokens

pytestmark = pytest.mark.slow
Checkpoints = Callable[[str], Path]


def targets_of(shape: str) -> str:
    return LATENT if shape.startswith("deepseek") else DENSE


@contextmanager
def serving(folder: Path, adapters: Mapping[str, Path], dtype: str = "float32") -> Iterator[Engine]:
    engine = load_engine(folder, EngineOptions(dtype, adapters=adapters, cache_tokens=4096))
    try:
        yield engine
    finally:
        engine.close()


async def answer(engine: Engine, prompt: list[int], count: int, adapter: str | None) -> tuple[int, list[int]]:
    """How many of the prompt's tokens were found in the cache, and the new ones."""
    request = GenerationRequest(tuple(prompt), count, adapter=adapter)
    events = [event async for event in engine.generate(request)]
    (cached,) = [event.cached_tokens for event in events if isinstance(event, Scheduled)]
    return cached, [event.id for event in events if isinstance(event, Token)]


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_under_an_adapter_are_those_of_merged_weights(
    shape: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = checkpoint(shape)
    place = write_adapter(tmp_path / "adapter", folder, targets=targets_of(shape))
    adapter = read_adapter("a", place)
    model = load_model(folder, LoadOptions(adapters=[adapter]))
    (ids,) = prompts(40)
    stepper = Stepper(model)
    adapted = stepper.step({"x": ids}, every_row=True, adapters={"x": "a"})
    right = reference_logits(reference(merged(folder, place, tmp_path / "merged")), ids)
    torch.testing.assert_close(adapted, right, rtol=1e-3, atol=5e-3)
    plain = stepper.step({"y": ids}, every_row=True)
    torch.testing.assert_close(plain, reference_logits(reference(folder), ids), rtol=1e-3, atol=2e-3)
    assert float((adapted - plain).norm() / plain.norm()) > 0.1


@pytest.mark.parametrize("shape", ["llama", "qwen2", "deepseek-v3"])
async def test_requests_with_different_adapters_and_none_share_steps_and_answer_as_merged_models_do(
    shape: str, checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder, targets = checkpoint(shape), targets_of(shape)
    places = {
        "a": write_adapter(tmp_path / "a", folder, targets=targets, seed=1),
        "b": write_adapter(tmp_path / "b", folder, targets=targets, seed=2, rank=3, rslora=True),
        "c": write_adapter(tmp_path / "c", folder, targets="q_proj|q_b_proj|up_proj", seed=3, rank=1),
    }
    (prompt,) = prompts(70)
    asked = ["a", None, "b", "a", "c", None, "b"]
    with serving(folder, places) as engine:
        answers = await asyncio.gather(*(answer(engine, prompt, 12, name) for name in asked))
    expected = {
        name: transformers_tokens(
            merged(folder, places[name], tmp_path / f"{name}-merged") if name else folder, tuple(prompt), 12
        )
        for name in set(asked)
    }
    assert [tokens for _, tokens in answers] == [expected[name] for name in asked]
    assert len({tuple(tokens) for tokens in expected.values()}) == len(expected)


async def test_a_prefix_computed_under_one_adapter_is_found_by_no_other(
    checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = checkpoint("llama")
    places = {name: write_adapter(tmp_path / name, folder, seed=seed) for seed, name in enumerate("ab")}
    (prompt,) = prompts(100)
    with serving(folder, places) as engine:
        for name in ("a", "b", None):
            first, tokens = await answer(engine, prompt, 4, name)
            again, same = await answer(engine, prompt, 4, name)
            assert (first, again) == (0, 96)
            assert tokens == same


async def test_siblings_under_other_adapters_do_not_wait_for_blocks_that_are_not_theirs(
    checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = checkpoint("llama")
    places = {name: write_adapter(tmp_path / name, folder, seed=seed) for seed, name in enumerate("ab")}
    (prompt,) = prompts(100)
    with serving(folder, places) as engine:
        answers = await asyncio.gather(*(answer(engine, prompt, 2, name) for name in ("a", "b", None, "a")))
    assert [cached for cached, _ in answers] == [0, 0, 0, 96]


def test_in_bfloat16_the_logits_stay_near_those_of_float32(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = checkpoint("qwen3")
    place = write_adapter(tmp_path / "adapter", folder)
    adapters = [read_adapter("a", place)]
    (ids,) = prompts(30)
    exact = reference_logits(reference(merged(folder, place, tmp_path / "merged")), ids)
    stepper = Stepper(load_model(folder, LoadOptions("bfloat16", adapters=adapters)))
    logits = stepper.step({"x": ids}, every_row=True, adapters={"x": "a"})
    assert float((logits - exact).norm() / exact.norm()) < 0.06


@pytest.mark.parametrize("mode", ["packed", "unpacked"])
def test_an_adapter_stands_beside_weights_that_stay_in_a_gguf_s_blocks(mode: str, tmp_path: Path) -> None:
    path = quantized(tmp_path, "Q8_0")
    converted = convert_gguf(path, tmp_path / "converted", print)
    place = write_adapter(tmp_path / "adapter", converted)
    ids = [5, 17, 3, 60, 44, 9, 9, 31]
    right = reference_logits(reference(merged(converted, place, tmp_path / "merged")), ids)
    options = LoadOptions(quantization=mode, adapters=[read_adapter("a", place)])
    stepper = Stepper(load_gguf_model(path, options))
    logits = stepper.step({"x": ids}, every_row=True, adapters={"x": "a"})
    assert float((logits - right).norm() / right.norm()) < 2e-2


async def test_an_adapter_that_is_not_there_is_refused_by_the_engine(checkpoint: Checkpoints) -> None:
    with serving(checkpoint("llama"), {}) as engine:
        with pytest.raises(GenerationFailedError, match="no such adapter"):
            await answer(engine, [5, 6], 2, "a")


def test_adapters_take_the_bytes_that_were_planned(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from inference.engine.memory import plan_memory

    folder = checkpoint("qwen2")
    places = {name: write_adapter(tmp_path / name, folder, seed=seed) for seed, name in enumerate("ab")}
    for dtype, number_bytes in (("float32", 4), ("bfloat16", 2)):
        options = EngineOptions(dtype, adapters=places, cache_tokens=640)
        plan = plan_memory(folder, options)
        with serving(folder, places, dtype) as engine:
            description = engine.description
        per_layer = 4 * (64 + 64 + 2 * (64 + 32) + 64 + 64 + 3 * (64 + 128))
        assert description.adapter_bytes == plan.adapter_bytes == 2 * 2 * per_layer * number_bytes
        assert description.adapters == {"a", "b"}
        assert plan.total_bytes == plan.weight_bytes + plan.adapter_bytes + plan.cache_bytes


def test_transformers_serves_no_adapters_and_says_so_at_start(
    checkpoint: Checkpoints, tmp_path: Path
) -> None:
    folder = checkpoint("llama")
    place = write_adapter(tmp_path / "adapter", folder)
    options = EngineOptions("float32", engine="transformers", adapters={"a": place})
    with pytest.raises(ValueError, match="doesn't serve adapters"):
        load_engine(folder, options)


def test_rows_of_one_adapter_are_a_run_where_they_lie_side_by_side() -> None:
    assert adapter_rows(["a", "a", None, "b", None, "b"], [0, 1, 4, 5, 6, 7, 9]) == (
        AdapterRows("a", slice(0, 4)),
        AdapterRows("b", slice(5, 6)),
        AdapterRows("b", slice(7, 9)),
    )
    assert adapter_rows([None, None], [0, 1, 2]) == ()


def test_a_step_without_adapters_only_computes_the_base_product() -> None:
    class Refusing(dict[str, Delta]):
        def get(self, *_: Any) -> Any:
            raise AssertionError("asked for an adapter")

    base = PlainLinear(torch.eye(3))
    part = Part(slice(0, 3), slice(0, 1), torch.ones(1, 3))
    linear = AdaptedLinear(base, Refusing(a=Delta(torch.ones(1, 3), (part,))), StepAdapters())
    rows = torch.ones(2, 3)
    assert torch.equal(linear(rows), rows)
