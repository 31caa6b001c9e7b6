"""How much memory there is, and how much a checkpoint will take: told from its headers, before it is read."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.lora.peft import adapter_numbers
from inference.engine.models.config import UnsupportedArchitecture, read_config
from inference.engine.models.load import shape_of
from inference.engine.models.weights import CheckpointWeights
from inference.engine.operators.native.linear import OUTPUTS_A_BLOCK
from inference.engine.operators.packing import FLOAT16_WEIGHTS, NATIVE, choose_packing
from inference.engine.options import BLOCK_TOKENS, MOST_RUNNING, EngineOptions, Machine

_LARGEST_DEFAULT_CACHE_BYTES = 1 << 30
_GPU_SHARE = 0.9  # the rest is for what a step computes
_HALF_BYTES = 2
_EMBEDDING = "model.embed_tokens.weight"
_CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a model takes at most; `cache_tokens` is None where the engine has no cache of its own."""

    weight_bytes: int
    cache_bytes: int
    cache_tokens: int | None
    adapter_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Weights, adapters and cache."""
        return self.weight_bytes + self.adapter_bytes + self.cache_bytes


def free_memory_bytes(device: str, container: Path = _CONTAINER) -> int:
    """Free memory of the device; on a CPU no more than the container (cgroup v2) may still take."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0] * _GPU_SHARE)
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit, taken = ((container / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free_bytes
    return min(free_bytes, max(0, int(limit) - int(taken))) if limit.isdigit() else free_bytes


def default_cache_bytes(device: str, memory_bytes: int | None, weight_bytes: int = 0) -> int:
    """As much as the free memory allows, at most 1 GiB; on a GPU that one model has for itself, all of it.

    Args:
        device: whose memory it is.
        memory_bytes: what all models together may take.
        weight_bytes: of the model, where it isn't loaded yet.
    """
    free_bytes = max(0, free_memory_bytes(device) - weight_bytes)
    if memory_bytes is not None:
        free_bytes = min(free_bytes, memory_bytes)
    if device != "cuda" or memory_bytes is not None:
        free_bytes = min(free_bytes // 4, _LARGEST_DEFAULT_CACHE_BYTES)
    return free_bytes


def cache_blocks(cache_tokens: int | None, cache_bytes: int, token_bytes: int, context_tokens: int) -> int:
    """Blocks with room for `cache_tokens`; where that isn't said, as many as the largest batch can use.

    Args:
        cache_tokens: what an operator wants.
        cache_bytes: what there is room for otherwise.
        token_bytes: of a token in the cache.
        context_tokens: of the model.
    """
    tokens = cache_tokens or min(cache_bytes // token_bytes, MOST_RUNNING * context_tokens)
    return max(2, tokens // BLOCK_TOKENS)


def plan_memory(folder: Path, options: EngineOptions) -> MemoryPlan:
    """What `load_engine` will take for a checkpoint.

    Raises:
        OSError: a file is missing or can't be read.
        ValueError: the configuration isn't JSON.
    """
    machine = Machine.of(options)
    dtype = getattr(torch, machine.number_format.dtype)
    weights = CheckpointWeights(folder)
    try:
        config = read_config(folder)
        if options.engine == "transformers":
            raise UnsupportedArchitecture("not wanted")
        _, shape = shape_of(config)
    except UnsupportedArchitecture:
        return _plan_of_transformers(weights, dtype)
    token_bytes = shape.cache_numbers_per_token * dtype.itemsize
    if machine.computes_blocks(folder, options):
        weight_bytes = _blocks_bytes(folder, weights, options.quantize, dtype)
    else:
        weight_bytes = _packed_bytes(weights, dtype, machine.device, tied=shape.tied_embeddings)
    adapter_bytes = sum(map(adapter_numbers, options.adapters.values())) * dtype.itemsize
    room_bytes = default_cache_bytes(machine.device, options.memory_bytes, weight_bytes + adapter_bytes)
    blocks = cache_blocks(options.cache_tokens, room_bytes, token_bytes, shape.context_tokens)
    cache_tokens = blocks * BLOCK_TOKENS
    return MemoryPlan(weight_bytes, cache_tokens * token_bytes, cache_tokens, adapter_bytes)


def _plan_of_transformers(weights: CheckpointWeights, dtype: torch.dtype) -> MemoryPlan:
    """Its cache grows with the one request that it serves, and isn't planned."""
    return MemoryPlan(sum(math.prod(shape) for _, shape, _ in weights.sizes()) * dtype.itemsize, 0, None)


def _packed_bytes(weights: CheckpointWeights, dtype: torch.dtype, device: str, *, tied: bool) -> int:
    """Of safetensors. The table of embeddings stays in the file; a head tied to it is packed beside it."""
    packing = choose_packing(dtype, torch.device(device)).name
    total = 0
    for name, shape, number_bytes in weights.sizes():
        packed = min(number_bytes, dtype.itemsize) if packing == FLOAT16_WEIGHTS else dtype.itemsize
        if name == _EMBEDDING:
            total += math.prod(shape) * number_bytes
        if name != _EMBEDDING or tied:
            total += _filled_up(shape, packing) * packed
    return total


def _filled_up(shape: tuple[int, ...], packing: str) -> int:
    """Numbers of a tensor with those that its packing adds to have whole blocks."""
    if packing != NATIVE or len(shape) == 1:
        return math.prod(shape)
    return -(-shape[0] // OUTPUTS_A_BLOCK) * OUTPUTS_A_BLOCK * math.prod(shape[1:])


def _blocks_bytes(folder: Path, weights: CheckpointWeights, quantize: str, dtype: torch.dtype) -> int:
    """Of a GGUF's own blocks: packed, beside them unpacked for many rows, and the table of embeddings."""
    packing = choose_packing(dtype, torch.device("cpu")).name
    unpacked = {"packed": 0, "unpacked": dtype.itemsize}.get(quantize)
    if unpacked is None:
        unpacked = _HALF_BYTES if packing == FLOAT16_WEIGHTS else dtype.itemsize
    sizes = {name: _filled_up(shape, packing) for name, shape, _ in weights.sizes()}
    table_bytes = sizes.get(_EMBEDDING, 0) * _HALF_BYTES
    return (folder / BLOCKS).stat().st_size + sum(sizes.values()) * unpacked + table_bytes
