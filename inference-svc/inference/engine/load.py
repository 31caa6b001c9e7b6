"""From a checkpoint folder to a running engine. Imports torch: call it off the event loop."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine.number_format import NumberFormat, choose_number_format, cpu_instructions
from inference.engine.port import Engine, EngineDescription, GenerationRequest

# How torch's threads wait for each other. By default they spin, and where other processes want the same cores
# that costs several times the step (a 135M model on two busy cores: 440 to 560 ms; this way 80 to 190 ms).
_WAIT_POLICY = "PASSIVE"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine is told beside the checkpoint."""

    dtype: str = "auto"
    num_threads: int | None = None
    eos_token_ids: frozenset[int] = frozenset()  # of the tokenizer; the model's own come on top


def load_engine(folder: Path, options: EngineOptions) -> Engine:
    """Load a checkpoint and run one token through it, so that the first request finds everything warm.

    Raises:
        OSError: a file is missing or can't be read.
        ValueError: the checkpoint is not one of a causal language model that transformers knows.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", _WAIT_POLICY)
    import torch
    import transformers

    from inference.engine.token_loop import TokenLoop
    from inference.engine.transformers_engine import TransformersEngine

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(options.num_threads or os.cpu_count() or 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    number_format = choose_number_format(options.dtype, device, cpu_instructions())
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
