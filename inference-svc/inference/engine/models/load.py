"""From a checkpoint folder to a `CausalModel`: architecture by name, number format and kernels by machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from inference.engine.batch import Batch, KVCache, ModelSpec
from inference.engine.lora.linear import StepAdapters
from inference.engine.lora.peft import PeftAdapter
from inference.engine.lora.source import AdaptedSource
from inference.engine.models.cache import PagedCache
from inference.engine.models.config import (
    DEFAULTS,
    DenseShape,
    LatentShape,
    UnsupportedArchitecture,
    dense_shape,
    latent_shape,
    read_config,
)
from inference.engine.models.dense import DenseDecoder
from inference.engine.models.latent import LatentDecoder
from inference.engine.models.source import CheckpointSource, Progress, WeightSource, ignore_progress
from inference.engine.models.weights import CheckpointWeights
from inference.engine.number_format import cpu_instructions
from inference.engine.operators.choice import choose_kernels
from inference.engine.operators.packing import choose_packing


class Network(Protocol):
    """An architecture with its weights."""

    def new_cache(self, blocks: int, block_tokens: int, like: Tensor) -> PagedCache:
        """An empty cache on the device and in the number format of `like`."""
        ...

    def forward(self, batch: Batch, cache: PagedCache) -> Tensor:
        """[rows, vocabulary] float32."""
        ...


ShapeOf = Callable[[Mapping[str, Any]], DenseShape | LatentShape]

ARCHITECTURES: Mapping[str, ShapeOf] = {
    "LlamaForCausalLM": partial(dense_shape, query_key_norm=False),
    "Qwen2ForCausalLM": partial(dense_shape, query_key_norm=False),
    "Qwen3ForCausalLM": partial(dense_shape, query_key_norm=True),
    "DeepseekV2ForCausalLM": partial(latent_shape, version=2),
    "DeepseekV3ForCausalLM": partial(latent_shape, version=3),
}
"""What this engine computes itself, by the name in a checkpoint's `architectures`."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to compute.

    Attributes:
        dtype: of rows and cache, a torch dtype's name.
        device: `cpu` or `cuda`.
        packing: of the weights (`operators.packing`); `auto` chooses by the machine.
        kernels: of the steps beside the products (`operators.choice`); `auto` chooses by the machine.
        quantization: of a GGUF file's blocks, one of `quantization.packing.MODES`.
        progress: told the bytes of weights in memory, again and again.
        adapters: that requests may choose.
    """

    dtype: str = "float32"
    device: str = "cpu"
    packing: str = "auto"
    kernels: str = "auto"
    quantization: str = "auto"
    progress: Progress = ignore_progress
    adapters: Sequence[PeftAdapter] = ()


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """`CausalModel` around a network. `adapters` is what its products ask for their rows' adapters."""

    spec: ModelSpec
    network: Network
    adapters: StepAdapters = field(default_factory=StepAdapters)

    def new_cache(self, blocks: int, block_tokens: int) -> PagedCache:
        """An empty cache.

        Raises:
            torch.OutOfMemoryError: the device hasn't that much.
        """
        like = torch.empty(0, dtype=self.spec.dtype, device=self.spec.device)
        return self.network.new_cache(blocks, block_tokens, like)

    @torch.inference_mode()
    def forward(self, batch: Batch, cache: KVCache) -> Tensor:
        """Write the step's cache entries and return logits, [rows, vocabulary] float32.

        Raises:
            TypeError: the cache isn't one of this model's.
        """
        if not isinstance(cache, PagedCache):
            raise TypeError(f"a {type(cache).__name__} is no cache made by this model's new_cache")
        self.adapters.begin(batch.adapters)
        return self.network.forward(batch, cache)


@torch.inference_mode()
def load_model(folder: Path, options: LoadOptions) -> LoadedNetwork:
    """Load a checkpoint in Hugging Face's layout.

    Raises:
        UnsupportedArchitecture: this engine doesn't compute it; transformers may.
        OSError: a file is missing or can't be read.
        ValueError: a tensor is missing or of another shape, or an option isn't right here.
    """
    name, shape = shape_of(read_config(folder))
    dtype, device = getattr(torch, options.dtype), torch.device(options.device)
    packing = choose_packing(dtype, device, options.packing)
    kernels, why = choose_kernels(options.kernels, dtype, device, cpu_instructions())
    base = CheckpointSource(CheckpointWeights(folder), packing.pack, dtype, device, kernels, options.progress)
    source = AdaptedSource(base, options.adapters, dtype, device)
    network = _network(source, shape, device)
    source.check_all_taken()
    return LoadedNetwork(
        ModelSpec(
            architecture=name,
            layers=shape.layers,
            cache_bytes_per_token=shape.cache_numbers_per_token * dtype.itemsize,
            vocabulary_tokens=shape.vocabulary_tokens,
            context_tokens=shape.context_tokens,
            dtype=dtype,
            device=device,
            weight_bytes=source.nbytes,
            kernels=f"{kernels.name} ({why}), weights {packing.name} ({packing.reason})",
            adapters=frozenset(adapter.name for adapter in options.adapters),
            adapter_bytes=source.adapter_bytes,
        ),
        network,
        source.step,
    )


def _network(source: WeightSource, shape: DenseShape | LatentShape, device: torch.device) -> Network:
    if isinstance(shape, DenseShape):
        return DenseDecoder.load(source, shape, device)
    return LatentDecoder.load(source, shape, device)


def shape_of(config: Mapping[str, Any]) -> tuple[str, DenseShape | LatentShape]:
    """The architecture's name and its shape.

    Raises:
        UnsupportedArchitecture: this engine doesn't compute it.
    """
    names = config.get("architectures") or ["unnamed"]
    for name in names:
        if shape := ARCHITECTURES.get(name):
            return name, shape({**DEFAULTS[name], **config})
    raise UnsupportedArchitecture(
        f"this engine doesn't compute {names[0]}; it knows {', '.join(ARCHITECTURES)}"
    )
