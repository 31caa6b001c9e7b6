"""From a checkpoint folder to a running engine. Imports torch: call it off the event loop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.number_format import NumberFormat
from inference.engine.options import (
    BLOCK_TOKENS,
    FORCED_BLOCKS,
    MOST_RUNNING,
    STEP_TOKENS,
    EngineOptions,
    Machine,
)
from inference.engine.port import Engine, EngineDescription, GenerationRequest
from inference.engine.runtime import set_up_runtime

if TYPE_CHECKING:
    from inference.engine.batch import CausalModel

Progress = Callable[[int], None]
_log = logging.getLogger(__name__)


def load_engine(folder: Path, options: EngineOptions, progress: Progress = lambda _: None) -> Engine:
    """Load a checkpoint and run one token through it, so that the first request finds everything warm.

    `progress` is told the bytes of weights in memory, again and again.

    Raises:
        OSError: a file is missing or can't be read.
        ValueError: the checkpoint is not one of a causal language model that transformers knows, an
            adapter isn't one for it, or what an option forces can't be had here.
        MemoryError: there is too little, of the machine's or of the GPU's.
    """
    set_up_runtime()
    import torch

    from inference.engine.models import UnsupportedArchitecture

    torch.set_num_threads(options.num_threads or os.cpu_count() or 1)
    machine = Machine.of(options)
    if options.cuda_graphs:
        _check_graphs(machine)
    try:
        if options.engine == "transformers":
            return _transformers_engine(folder, options, machine)
        try:
            model = _load_model(folder, options, machine, progress)
        except UnsupportedArchitecture as reason:
            _log.warning(
                "transformers serves this model, one request after the other", extra={"reason": str(reason)}
            )
            return _transformers_engine(folder, options, machine)
        return _batching_engine(model, folder, options, machine.number_format)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error


def _check_graphs(machine: Machine) -> None:
    if machine.device != "cuda":
        raise ValueError(f"CUDA_GRAPHS needs a CUDA device; this model is computed on {machine.device}")
    if find_spec("triton") is None:
        raise ValueError("CUDA_GRAPHS needs the kernels of the package triton, which isn't installed")


def _load_model(folder: Path, options: EngineOptions, machine: Machine, progress: Progress) -> CausalModel:
    """From a GGUF's own blocks where that is possible, else from safetensors."""
    from inference.engine.lora.peft import read_adapter
    from inference.engine.models import LoadOptions, load_gguf_model, load_model

    adapters = [read_adapter(name, place) for name, place in options.adapters.items()]
    if machine.computes_blocks(folder, options):
        quantized = LoadOptions(
            machine.number_format.dtype,
            packing=options.packing,
            kernels=options.kernels,
            quantization=options.quantize,
            progress=progress,
            adapters=adapters,
        )
        return load_gguf_model(folder / BLOCKS, quantized)
    return load_model(
        folder,
        LoadOptions(
            dtype=machine.number_format.dtype,
            device=machine.device,
            packing=options.packing,
            kernels=options.kernels,
            progress=progress,
            adapters=adapters,
        ),
    )


def _batching_engine(
    model: CausalModel, folder: Path, options: EngineOptions, number_format: NumberFormat
) -> Engine:
    from inference.engine.batcher import Batcher
    from inference.engine.batching_engine import BatchingEngine
    from inference.engine.blocks import BlockPool
    from inference.engine.graphs import GraphedModel, cuda_recorder
    from inference.engine.memory import cache_blocks, default_cache_bytes
    from inference.engine.scheduler import Scheduler
    from inference.engine.speculation import Speculation

    spec = model.spec
    room_bytes = default_cache_bytes(spec.device.type, options.memory_bytes)
    blocks = cache_blocks(options.cache_tokens, room_bytes, spec.cache_bytes_per_token, spec.context_tokens)
    cache = model.new_cache(blocks, BLOCK_TOKENS)  # first, so that one too large is refused at once
    scheduler = Scheduler(BlockPool(blocks, BLOCK_TOKENS), STEP_TOKENS, MOST_RUNNING)
    eos_token_ids = configured_eos_token_ids(folder) | options.eos_token_ids
    if options.cuda_graphs:
        model = GraphedModel(model, cache, options.cuda_graphs, cuda_recorder())
    batcher = Batcher(model, cache, scheduler, eos_token_ids, Speculation(options.speculate))
    batcher.add(GenerationRequest(prompt_ids=(0,), max_new_tokens=2))
    while batcher.step():
        pass
    description = EngineDescription(
        engine="hadal",
        dtype=f"torch.{number_format.dtype}",
        device=spec.device.type,
        context_tokens=min(spec.context_tokens, blocks * BLOCK_TOKENS),
        dtype_reason=f"{number_format.reason}; kernels {model.spec.kernels}",
        weight_bytes=spec.weight_bytes,
        cache_bytes=cache.nbytes,
        speculate=options.speculate,
        adapters=spec.adapters,
        adapter_bytes=spec.adapter_bytes,
    )
    return BatchingEngine(batcher, description)


def configured_eos_token_ids(folder: Path) -> frozenset[int]:
    """Every id that ends an answer by the checkpoint's generation config or its model's."""
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        value = orjson.loads(file.read_bytes()).get("eos_token_id") if file.is_file() else None
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)


def _transformers_engine(folder: Path, options: EngineOptions, machine: Machine) -> Engine:
    _check_transformers_options(options)
    import torch
    import transformers

    from inference.engine.token_loop import TokenLoop
    from inference.engine.transformers_engine import TransformersEngine

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, machine.number_format.dtype), local_files_only=True
    )
    model = model.to(machine.device).eval()
    token_loop = TokenLoop(model, _eos_token_ids(model) | options.eos_token_ids)
    for _ in token_loop.run(GenerationRequest(prompt_ids=(0,), max_new_tokens=2), lambda: False):
        pass
    return TransformersEngine(token_loop, _description(model, machine, options.total_tokens))


def _check_transformers_options(options: EngineOptions) -> None:
    if options.adapters:
        raise ValueError("transformers serves this model, and doesn't serve adapters")
    if options.cuda_graphs:
        raise ValueError("transformers serves this model, whose steps CUDA_GRAPHS doesn't record")
    forced = {
        "KERNELS": options.kernels != "auto",
        "PACKING": options.packing != "auto",
        "QUANTIZE": options.quantize in FORCED_BLOCKS,
    }
    if names := [name for name, is_forced in forced.items() if is_forced]:
        raise ValueError(f"transformers serves this model, for which {names[0]} can't be forced")


def _description(model: Any, machine: Machine, total_tokens: int | None) -> EngineDescription:
    from inference.engine.memory import request_cache_bytes

    return EngineDescription(
        engine="transformers",
        dtype=f"torch.{machine.number_format.dtype}",
        device=machine.device,
        context_tokens=int(model.config.get_text_config().max_position_embeddings),
        dtype_reason=machine.number_format.reason,
        weight_bytes=int(model.get_memory_footprint()),
        cache_bytes=request_cache_bytes(model.config, model.dtype, total_tokens),
    )


def _eos_token_ids(model: Any) -> frozenset[int]:
    """Every id that ends an answer by the generation config or the model's own."""
    ids: set[int] = set()
    for config in (model.generation_config, model.config.get_text_config()):
        value = getattr(config, "eos_token_id", None)
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)
