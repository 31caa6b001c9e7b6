"""How much memory there is, and how much a checkpoint will take: told from its headers, before it is read."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.lora.peft import adapter_numbers
from inference.engine.models.config import UnsupportedArchitecture, read_config
from inference.engine.models.load import shape_of
from inference.engine.models.weights import CheckpointWeights
from inference.engine.operators.linear import half_weight_bytes
from inference.engine.operators.native.linear import OUTPUTS_A_BLOCK
from inference.engine.operators.packing import FLOAT16_WEIGHTS, NATIVE, choose_packing
from inference.engine.options import BLOCK_TOKENS, MOST_RUNNING, EngineOptions, Machine

_LARGEST_DEFAULT_CACHE_BYTES = 1 << 30
_GPU_SHARE = 0.9  # the rest is for what a step computes
_HALF_BYTES = 2
_EMBEDDING = "model.embed_tokens.weight"
_NO_PRODUCTS = (".kv_b_proj.weight", ".mlp.gate.weight")
"""Matrices that aren't packed: latent attention absorbs the one, the router has the other."""
_CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a model takes at most; `cache_tokens` is None where transformers has the cache."""

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
        return _plan_of_transformers(folder, weights, dtype, options.total_tokens)
    token_bytes = shape.cache_numbers_per_token * dtype.itemsize
    if machine.computes_blocks(folder, options):
        packing = choose_packing(dtype, torch.device("cpu"), options.packing).name
        weight_bytes = _blocks_bytes(folder, weights, options.quantize, packing, dtype)
    else:
        packing = choose_packing(dtype, torch.device(machine.device), options.packing).name
        weight_bytes = _packed_bytes(weights, packing, dtype, tied=shape.tied_embeddings)
    adapter_bytes = sum(map(adapter_numbers, options.adapters.values())) * dtype.itemsize
    room_bytes = default_cache_bytes(machine.device, options.memory_bytes, weight_bytes + adapter_bytes)
    blocks = cache_blocks(options.cache_tokens, room_bytes, token_bytes, shape.context_tokens)
    cache_tokens = blocks * BLOCK_TOKENS
    return MemoryPlan(weight_bytes, cache_tokens * token_bytes, cache_tokens, adapter_bytes)


def _plan_of_transformers(
    folder: Path, weights: CheckpointWeights, dtype: torch.dtype, total_tokens: int | None
) -> MemoryPlan:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    weight_bytes = sum(math.prod(shape) for _, shape, _ in weights.sizes()) * dtype.itemsize
    return MemoryPlan(weight_bytes, request_cache_bytes(config, dtype, total_tokens), None)


def request_cache_bytes(config: Any, dtype: torch.dtype, total_tokens: int | None) -> int:
    """Of the longest request's keys and values, which is all that transformers holds at a time.

    Multi-head latent attention caches a latent and one rotated key a token. 0 where the configuration doesn't
    tell the sizes, as where a model has no attention; what other states a model has isn't counted.

    Args:
        config: transformers' own.
        dtype: of the cache.
        total_tokens: of the longest prompt and answer, where that is less than the model's window.
    """
    text = config.get_text_config()

    def size(name: str) -> int:
        value = getattr(text, name, None)
        return value if isinstance(value, int) else 0

    if latent := size("kv_lora_rank"):
        numbers = latent + size("qk_rope_head_dim")
    else:
        heads = size("num_attention_heads")
        head_dim = size("head_dim") or (size("hidden_size") // heads if heads else 0)
        numbers = 2 * (size("num_key_value_heads") or heads) * head_dim
    window = size("max_position_embeddings")
    tokens = min(window, total_tokens or window)
    return size("num_hidden_layers") * numbers * tokens * dtype.itemsize


def _packed_bytes(weights: CheckpointWeights, packing: str, dtype: torch.dtype, *, tied: bool) -> int:
    """Of safetensors. The table of embeddings stays in the file; a head tied to it is packed beside it."""
    total = 0
    for name, shape, number_bytes in weights.sizes():
        if name == _EMBEDDING:
            total += math.prod(shape) * number_bytes
        if name != _EMBEDDING or tied:
            fits_half = number_bytes <= _HALF_BYTES
            total += _held_bytes(name, shape, packing, dtype, fits_half=fits_half)
    return total


def _held_bytes(
    name: str, shape: tuple[int, ...], packing: str, dtype: torch.dtype, *, fits_half: bool
) -> int:
    """Of a tensor as it is computed with: a matrix packed, the rest in the rows' number format.

    `fits_half`: float16 holds its numbers.
    """
    plain_bytes = math.prod(shape) * dtype.itemsize
    if len(shape) != 2 or name.endswith(_NO_PRODUCTS):
        return plain_bytes
    outputs, inputs = shape
    if packing == FLOAT16_WEIGHTS and fits_half:
        return min(half_weight_bytes(outputs, inputs), plain_bytes)
    if packing == NATIVE:
        return -(-outputs // OUTPUTS_A_BLOCK) * OUTPUTS_A_BLOCK * inputs * dtype.itemsize
    return plain_bytes


def _blocks_bytes(
    folder: Path, weights: CheckpointWeights, quantize: str, packing: str, dtype: torch.dtype
) -> int:
    """Of a GGUF's own blocks: packed, beside them unpacked for many rows, and the table of embeddings."""
    total = (folder / BLOCKS).stat().st_size
    for name, shape, _ in weights.sizes():
        if quantize != "packed":
            total += _held_bytes(name, shape, packing, dtype, fits_half=quantize == "auto")
        if name == _EMBEDDING:
            total += math.prod(shape) * _HALF_BYTES
    return total
