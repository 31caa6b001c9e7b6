"""A GGUF file computed from its blocks, against its conversion computed by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from inference.checkpoint.gguf_convert import convert_gguf
from inference.engine.load import load_engine
from inference.engine.models import LoadOptions, load_gguf_model
from inference.engine.options import EngineOptions
from inference.engine.port import GenerationRequest, Token
from inference.engine.quantization.perplexity import perplexity
from tests.checkpoint.gguf_file import write_gguf
from tests.engine.models.stepping import Stepper
from tests.engine.models.test_parity import reference, reference_logits

pytestmark = pytest.mark.slow
IDS = [5, 17, 3, 60, 44, 9, 9, 31, 80, 2, 71, 66]


def quantized(folder: Path, kind: str) -> Path:
    """The small model with its matrices in blocks, as llama.cpp would store it."""
    plain, path = folder / "plain.gguf", folder / f"{kind}.gguf"
    write_gguf(plain)
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
    for tensor in reader.tensors:
        values: np.ndarray[Any, Any] = np.array(tensor.data)
        if values.ndim == 2:
            wanted = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize(
    ("mode", "dtype", "tolerance"),
    [
        ("unpacked", "float32", 5e-3),
        ("packed", "float32", 2e-2),
        ("unpacked", "bfloat16", 3e-2),
        ("packed", "bfloat16", 4e-2),
        ("auto", "bfloat16", 4e-2),
    ],
)
def test_blocks_give_the_logits_of_the_converted_model(
    kind: str, mode: str, dtype: str, tolerance: float, tmp_path: Path
) -> None:
    """The conversion rounds to bfloat16, so they can't be equal; the tolerance is of all logits together."""
    path = quantized(tmp_path, kind)
    right = reference_logits(reference(convert_gguf(path, tmp_path / "converted", print)), IDS)
    model = load_gguf_model(path, LoadOptions(dtype, quantization=mode))
    logits = Stepper(model).step({"a": IDS}, every_row=True)
    assert float((logits - right).norm() / right.norm()) < tolerance


def test_packed_weights_keep_the_perplexity_of_unpacked_ones(tmp_path: Path) -> None:
    path = quantized(tmp_path, "Q4_1")
    unpacked, packed, chosen = (
        perplexity(load_gguf_model(path, LoadOptions(quantization=mode)), IDS * 20)
        for mode in ("unpacked", "packed", "auto")
    )
    assert packed == pytest.approx(unpacked, rel=1e-2)
    assert chosen == pytest.approx(unpacked, rel=1e-2)


def test_a_file_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF, or not")
    with pytest.raises(ValueError, match=r"broken\.gguf is not a whole GGUF file"):
        load_gguf_model(path, LoadOptions())


def test_perplexity_is_that_of_the_log_probabilities(tmp_path: Path) -> None:
    write_gguf(tmp_path / "plain.gguf")
    model = load_gguf_model(tmp_path / "plain.gguf", LoadOptions())
    logits = Stepper(model).step({"a": IDS}, every_row=True)
    logprobs = logits.log_softmax(-1)[torch.arange(len(IDS) - 1), torch.tensor(IDS[1:])]
    assert perplexity(model, IDS) == pytest.approx(float((-logprobs.mean()).exp()), rel=1e-4)


def test_packed_blocks_of_a_file_that_has_none_are_refused(tmp_path: Path) -> None:
    folder = convert_gguf(quantized(tmp_path, "Q5_0"), tmp_path / "converted", print)
    with pytest.raises(ValueError, match=r"computes blocks of .*Q4_1.*, but the GGUF file has F32, Q5_0"):
        load_engine(folder, EngineOptions("float32", quantize="packed"))
    load_engine(folder, EngineOptions("float32", quantize="auto")).close()


@pytest.mark.parametrize("quantize", ["packed", "unpacked"])
def test_forced_blocks_that_cannot_be_computed_are_refused(
    quantize: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = convert_gguf(quantized(tmp_path, "Q8_0"), tmp_path / "converted", print)
    refused = {
        "computed in float16, not in float32": (folder, EngineOptions("float16", quantize=quantize)),
        r"its folder has no model\.gguf": (checkpoint("llama"), EngineOptions("float32", quantize=quantize)),
        "transformers serves this model, for which QUANTIZE can't be forced": (
            folder,
            EngineOptions("float32", quantize=quantize, engine="transformers"),
        ),
    }
    for said, (place, options) in refused.items():
        with pytest.raises(ValueError, match=said):
            load_engine(place, options)


def test_a_gguf_is_computed_with_the_kernels_and_the_packing_that_are_forced(tmp_path: Path) -> None:
    folder = convert_gguf(quantized(tmp_path, "Q8_0"), tmp_path / "converted", print)
    engine = load_engine(
        folder, EngineOptions("float32", quantize="unpacked", kernels="torch", packing="onednn")
    )
    engine.close()
    assert "kernels torch (forced)" in engine.description.dtype_reason
    assert "other weights onednn (forced)" in engine.description.dtype_reason


@pytest.mark.parametrize(
    ("quantize", "said"), [("packed", "blocks packed"), ("unpacked", "blocks unpacked"), ("none", "weights ")]
)
async def test_the_engine_computes_from_the_blocks_unless_told_otherwise(
    quantize: str, said: str, tmp_path: Path
) -> None:
    folder = convert_gguf(quantized(tmp_path, "Q8_0"), tmp_path / "converted", print)
    engine = load_engine(folder, EngineOptions("float32", quantize=quantize))
    try:
        assert said in engine.description.dtype_reason
        events = [event async for event in engine.generate(GenerationRequest((5, 17, 3), 4))]
        assert sum(isinstance(event, Token) for event in events) >= 1
    finally:
        engine.close()
