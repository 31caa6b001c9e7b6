"""From a checkpoint folder to a running engine. Imports torch: call it off the event loop."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.number_format import NumberFormat, choose_number_format, cpu_instructions
from inference.engine.port import Engine, EngineDescription, GenerationRequest

if TYPE_CHECKING:
    from inference.engine.batch import CausalModel, ModelSpec

# How long torch's threads spin while they wait for each other. Left to itself the runtime spins without end,
# and where other processes want the same cores that costs several times the step; without any spinning a step
# of a small model takes half as long again.
_SPINS = "10000"

BLOCK_TOKENS = 32
STEP_TOKENS = 256  # the longest step, and so how long a stream waits for another's prompt
MOST_RUNNING = 64
_LARGEST_DEFAULT_CACHE_BYTES = 1 << 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine is told beside the checkpoint."""

    dtype: str = "auto"
    num_threads: int | None = None
    eos_token_ids: frozenset[int] = frozenset()  # of the tokenizer; the model's own come on top
    engine: str = "auto"  # "transformers" where that shall serve whatever the architecture
    quantize: str = (
        "auto"  # of a GGUF's blocks, `quantization.packing.MODES`; "none": what it was converted to
    )
    cache_tokens: int | None = None  # by default what fits into a quarter of the free memory, at most 1 GiB


def load_engine(folder: Path, options: EngineOptions) -> Engine:
    """Load a checkpoint and run one token through it, so that the first request finds everything warm.

    Raises:
        OSError: a file is missing or can't be read.
        ValueError: the checkpoint is not one of a causal language model that transformers knows.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    import torch

    from inference.engine.models import UnsupportedArchitecture

    torch.set_num_threads(options.num_threads or os.cpu_count() or 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    number_format = choose_number_format(options.dtype, device, cpu_instructions())
    if options.engine == "transformers":
        return _transformers_engine(folder, options, number_format, device)
    try:
        model = _load_model(folder, options, number_format, device)
    except UnsupportedArchitecture as reason:
        _log.warning(
            "transformers serves this model, one request after the other", extra={"reason": str(reason)}
        )
        return _transformers_engine(folder, options, number_format, device)
    return _batching_engine(model, folder, options, number_format)


def _load_model(
    folder: Path, options: EngineOptions, number_format: NumberFormat, device: str
) -> CausalModel:
    """From a GGUF's own blocks where the folder has them and rows are float32, else from safetensors."""
    from inference.engine.models import LoadOptions, load_gguf_model, load_model

    blocks = folder / BLOCKS
    if (
        blocks.is_file()
        and options.quantize != "none"
        and (device, number_format.dtype) == ("cpu", "float32")
    ):
        return load_gguf_model(blocks, LoadOptions(quantization=options.quantize))
    return load_model(folder, LoadOptions(dtype=number_format.dtype, device=device))


def _batching_engine(
    model: CausalModel, folder: Path, options: EngineOptions, number_format: NumberFormat
) -> Engine:
    from inference.engine.batcher import Batcher
    from inference.engine.batching_engine import BatchingEngine
    from inference.engine.blocks import BlockPool
    from inference.engine.scheduler import Scheduler

    spec = model.spec
    cache_tokens = options.cache_tokens or _default_cache_tokens(spec)
    blocks = max(2, cache_tokens // BLOCK_TOKENS)
    scheduler = Scheduler(BlockPool(blocks, BLOCK_TOKENS), STEP_TOKENS, MOST_RUNNING)
    eos_token_ids = configured_eos_token_ids(folder) | options.eos_token_ids
    batcher = Batcher(model, model.new_cache(blocks, BLOCK_TOKENS), scheduler, eos_token_ids)
    batcher.add(GenerationRequest(prompt_ids=(0,), max_new_tokens=2))
    while batcher.step():
        pass
    description = EngineDescription(
        engine="hadal",
        dtype=f"torch.{number_format.dtype}",
        device=spec.device.type,
        context_tokens=min(spec.context_tokens, blocks * BLOCK_TOKENS),
        dtype_reason=f"{number_format.reason}; kernels {spec.kernels}",
    )
    return BatchingEngine(batcher, description)


def _default_cache_tokens(spec: ModelSpec) -> int:
    """As many as the free memory allows, but no more than the largest batch can use."""
    import torch

    if spec.device.type == "cuda":
        free_bytes = int(torch.cuda.mem_get_info(spec.device)[0] * 0.9)
    else:
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        free_bytes = min(pages // 4, _LARGEST_DEFAULT_CACHE_BYTES)
    return min(free_bytes // spec.cache_bytes_per_token, MOST_RUNNING * spec.context_tokens)


def configured_eos_token_ids(folder: Path) -> frozenset[int]:
    """Every id that ends an answer by the checkpoint's generation config or its model's."""
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        value = orjson.loads(file.read_bytes()).get("eos_token_id") if file.is_file() else None
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)


def _transformers_engine(
    folder: Path, options: EngineOptions, number_format: NumberFormat, device: str
) -> Engine:
    import torch
    import transformers

    from inference.engine.token_loop import TokenLoop
    from inference.engine.transformers_engine import TransformersEngine

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, number_format.dtype), local_files_only=True
    )
    model = model.to(device).eval()
    token_loop = TokenLoop(model, _eos_token_ids(model) | options.eos_token_ids)
    for _ in token_loop.run(GenerationRequest(prompt_ids=(0,), max_new_tokens=2), lambda: False):
        pass
    return TransformersEngine(token_loop, _description(model, number_format, device))


def _description(model: Any, number_format: NumberFormat, device: str) -> EngineDescription:
    return EngineDescription(
        engine="transformers",
        dtype=f"torch.{number_format.dtype}",
        device=device,
        context_tokens=int(model.config.get_text_config().max_position_embeddings),
        dtype_reason=number_format.reason,
    )


def _eos_token_ids(model: Any) -> frozenset[int]:
    """Every id that ends an answer by the generation config or the model's own."""
    ids: set[int] = set()
    for config in (model.generation_config, model.config.get_text_config()):
        value = getattr(config, "eos_token_id", None)
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)
