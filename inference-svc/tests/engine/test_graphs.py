"""Padding and replaying of decode steps, with a recording that simply computes again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined

from inference.engine.graphs import GraphedModel, Run
from inference.engine.load import load_engine
from inference.engine.lora.peft import read_adapter
from inference.engine.models import LoadOptions, load_model
from inference.engine.models.cache import PagedCache
from inference.engine.options import EngineOptions
from tests.engine.lora.adapter_files import write_adapter
from tests.engine.models.stepping import Stepper
from tests.engine.models.test_parity import prompts

pytestmark = pytest.mark.slow
Checkpoints = Callable[[str], Path]
SIZES = (1, 4, 8)


@dataclass
class FakeRecording:
    """Replays by running again; what it returns lies where it lay before."""

    run: Run
    output: Tensor
    replays: int = 0

    def replay(self) -> None:
        self.replays += 1
        self.output.copy_(self.run())


class Recorder:
    def __init__(self) -> None:
        self.recordings: list[FakeRecording] = []

    def __call__(self, run: Run) -> FakeRecording:
        self.recordings.append(FakeRecording(run, run()))
        return self.recordings[-1]

    @property
    def replayed(self) -> list[int]:
        """How often each size was replayed, the largest size first."""
        return [recording.replays for recording in self.recordings]


def beside(folder: Path, recorder: Recorder, kernels: str = "auto") -> tuple[Stepper, Stepper]:
    """A stepper as it is, and one whose decodes are recorded, over blocks in the same order."""
    model = load_model(folder, LoadOptions(kernels=kernels))
    plain, recorded = Stepper(model), Stepper(model)
    recorded.model = GraphedModel(model, recorded.cache, SIZES, recorder)
    return plain, recorded


@pytest.mark.parametrize("shape", ["llama", "qwen3", "deepseek-v2", "deepseek-v3"])
def test_padded_decodes_give_the_logits_and_the_cache_of_unpadded_ones(
    shape: str, checkpoint: Checkpoints
) -> None:
    """Sequences come and go, so that steps have every number of decodes, among them chunks of prompts."""
    recorder, chooser = Recorder(), random.Random(3)
    plain, recorded = beside(checkpoint(shape), recorder)
    names = [str(number) for number in range(9)]
    for name, prompt in zip(names, prompts(*range(3, 30, 3)), strict=True):
        torch.testing.assert_close(recorded.step({name: prompt}), plain.step({name: prompt}))
    assert recorder.replayed == [0, 0, 0]
    for count in (1, 2, 3, 4, 5, 8, 9, 1, 7):
        more = {name: [chooser.randrange(1000)] for name in chooser.sample(names, count)}
        torch.testing.assert_close(recorded.step(more), plain.step(more), rtol=1e-4, atol=1e-4)
        assert isinstance(recorded.cache, PagedCache)
        assert isinstance(plain.cache, PagedCache)
        torch.testing.assert_close(recorded.cache.entries, plain.cache.entries, rtol=1e-4, atol=1e-4)
    assert recorder.replayed == [3, 3, 2]


def test_what_is_no_step_of_decodes_runs_as_it_is(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder, recorder = checkpoint("llama"), Recorder()
    adapter = read_adapter("poet", write_adapter(tmp_path / "poet", folder))
    stepper = Stepper(load_model(folder, LoadOptions(adapters=[adapter])))
    model = stepper.model
    stepper.model = GraphedModel(model, stepper.cache, SIZES, recorder)
    stepper.step({"a": [5, 6, 7], "b": [8]})
    stepper.step({"a": [5]}, adapters={"a": "poet"})
    assert recorder.replayed == [0, 0, 0]
    stepper.cache = model.new_cache(64, 16)  # not the one over which steps were recorded
    stepper.step({"a": [5]})
    assert recorder.replayed == [0, 0, 0]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton isn't made for this system")
@pytest.mark.parametrize("shape", ["llama", "deepseek-v3"])
def test_a_recorded_step_reads_nothing_back_from_the_device(
    shape: str, checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording on a GPU ends with an error where the host waits for a value."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the host reads a value")

    recorder = Recorder()
    plain, recorded = beside(checkpoint(shape), recorder, kernels="triton")
    asked = {"a": [5], "b": [6], "c": [7]}
    expected = plain.step(asked)
    replay = FakeRecording.replay

    def guarded(self: FakeRecording) -> None:
        with monkeypatch.context() as patched:
            for reading in ("tolist", "item", "bincount", "nonzero", "__bool__", "__int__"):
                patched.setattr(Tensor, reading, refuse)
            replay(self)

    monkeypatch.setattr(FakeRecording, "replay", guarded)
    torch.testing.assert_close(recorded.step(asked), expected, rtol=1e-4, atol=1e-4)
    assert recorder.replayed == [0, 1, 0]


def test_the_sizes_are_told_with_the_kernels(checkpoint: Checkpoints) -> None:
    _, recorded = beside(checkpoint("llama"), Recorder(), kernels="torch")
    assert "recorded for 1, 4, 8 sequences" in recorded.model.spec.kernels


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("engine", ["auto", "transformers"])
def test_without_a_cuda_device_recording_is_refused_at_start(engine: str, checkpoint: Checkpoints) -> None:
    options = EngineOptions("float32", engine=engine, cuda_graphs=(1, 2))
    with pytest.raises(ValueError, match="CUDA_GRAPHS needs a CUDA device; this model is computed on cpu"):
        load_engine(checkpoint("llama"), options)
