"""From a GGUF file to a `CausalModel`, its blocks kept as they are where that is faster."""

from __future__ import annotations

from pathlib import Path

import torch

from inference.engine.batch import ModelSpec
from inference.engine.lora.source import AdaptedSource
from inference.engine.models.config import dense_shape
from inference.engine.models.dense import DenseDecoder
from inference.engine.models.load import LoadedNetwork, LoadOptions
from inference.engine.number_format import cpu_instructions
from inference.engine.operators.choice import choose_kernels
from inference.engine.operators.packing import choose_packing
from inference.engine.quantization.gguf_source import GgufSource
from inference.engine.quantization.packing import BlockPacking


@torch.inference_mode()
def load_gguf_model(path: Path, options: LoadOptions) -> LoadedNetwork:
    """Load a Llama, Qwen2 or Qwen3 from a GGUF file; the weights are what `quantization` says.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no GGUF file, a tensor is missing, or an option isn't right here, such as `packed`
            for a file without such blocks.
        CheckpointError: its architecture isn't one of these.
    """
    device, dtype = torch.device("cpu"), getattr(torch, options.dtype)
    plain = choose_packing(dtype, device, options.packing)
    kernels, why = choose_kernels(options.kernels, dtype, device, cpu_instructions())
    packing = BlockPacking(plain, kernels, options.quantization, dtype=dtype)
    base = GgufSource.open(path, packing, options.progress)
    if options.quantization == "packed":
        base.check_packable()
    source = AdaptedSource(base, options.adapters, dtype, device)
    config = base.config()
    shape = dense_shape(config, query_key_norm=config["model_type"] == "qwen3")
    network = DenseDecoder.load(source, shape, device)
    source.check_all_taken()
    return LoadedNetwork(
        ModelSpec(
            architecture=config["architectures"][0],
            layers=shape.layers,
            cache_bytes_per_token=shape.cache_numbers_per_token * dtype.itemsize,
            vocabulary_tokens=shape.vocabulary_tokens,
            context_tokens=shape.context_tokens,
            dtype=dtype,
            device=device,
            weight_bytes=source.nbytes,
            kernels=f"{kernels.name} ({why}); blocks {packing}; other weights {plain.name} ({plain.reason})",
            adapters=frozenset(adapter.name for adapter in options.adapters),
            adapter_bytes=source.adapter_bytes,
        ),
        network,
        source.step,
    )
