"""Loading a model, from where it is to something that serves. Heavy imports happen here, in a thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from inference.chat_template import read_chat_template, special_tokens
from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.locate import Checkpoint
from inference.engine.grammar import GrammarCompiler
from inference.engine.options import EngineOptions
from inference.engine.port import EngineDescription
from inference.limits import limits_for
from inference.loaded_model import LoadedModel
from inference.pool import Prepared
from inference.pool_entry import ModelSource
from inference.settings import Settings
from inference.tokenizer import TextTokenizer

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class CheckpointLoader:
    """`Loader` of checkpoints, as the settings say."""

    settings: Settings

    def budget_bytes(self) -> int | None:
        """`MODEL_MEMORY_BUDGET`, else nine tenths of what is free; None for one model alone."""
        if self.settings.model_memory_budget or not self.settings.models:
            return self.settings.model_memory_budget
        from inference.engine.memory import free_memory_bytes
        from inference.engine.options import Machine

        return free_memory_bytes(Machine.of(self._options()).device) * 9 // 10

    def prepare(self, source: ModelSource, report: Callable[[str], None]) -> Prepared:
        """Find the checkpoint, fetched or converted first where needed, and tell how much memory it needs.

        Raises:
            CheckpointError: the model isn't there, isn't whole, or is of a kind that can't be served.
        """
        from inference.checkpoint.locate import locate_adapter, locate_checkpoint
        from inference.engine.memory import plan_memory

        folder = self.settings.model_cache_dir
        checkpoint = locate_checkpoint(source.location, source.revision, folder, report)
        adapters = {
            name: locate_adapter(location, folder, report) for name, location in source.adapters.items()
        }
        options = replace(self._options(), adapters=adapters)
        try:
            plan = plan_memory(checkpoint.folder, options)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"the model in {checkpoint.folder} can't be loaded: {error}") from error
        options = replace(options, cache_tokens=plan.cache_tokens or options.cache_tokens)
        return Prepared(
            plan.total_bytes, lambda progress: self._load(source.name, checkpoint, options, progress)
        )

    def _options(self) -> EngineOptions:
        settings = self.settings
        return EngineOptions(
            dtype=settings.dtype,
            num_threads=settings.num_threads,
            engine=settings.engine,
            quantize=settings.quantize,
            kernels=settings.kernels,
            packing=settings.packing,
            speculate=settings.speculate,
            cache_tokens=settings.max_batch_total_tokens,
            memory_bytes=settings.model_memory_budget,
            total_tokens=settings.max_total_tokens,
            cuda_graphs=settings.cuda_graphs,
        )

    def _load(
        self, name: str, checkpoint: Checkpoint, options: EngineOptions, progress: Callable[[int], None]
    ) -> LoadedModel:
        """Read and warm up the model. Takes seconds to minutes.

        Raises:
            CheckpointError: it isn't whole, is of a kind that can't be served, or there is too little memory.
        """
        from inference.engine.load import configured_eos_token_ids, load_engine

        started_s = time.monotonic()
        folder = checkpoint.folder
        try:
            tokenizer = TextTokenizer.from_folder(folder)
            eos_token_ids = _eos_token_ids(folder, tokenizer)
            template = read_chat_template(folder)
            grammars = GrammarCompiler(tokenizer.to_json(), eos_token_ids | configured_eos_token_ids(folder))
            engine = load_engine(folder, replace(options, eos_token_ids=eos_token_ids), progress)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"the model in {folder} can't be loaded: {error}") from error
        except MemoryError as error:
            raise CheckpointError(
                f"the model in {folder} can't be loaded: there is too little memory"
            ) from error
        _tell(name, engine.description, time.monotonic() - started_s)
        limits = limits_for(self.settings, engine.description.context_tokens)
        return LoadedModel(name, checkpoint.revision, engine, tokenizer, template, limits, grammars)


def _tell(name: str, description: EngineDescription, seconds: float) -> None:
    _log.info(
        "model loaded",
        extra={
            "model": name,
            "dtype": description.dtype,
            "dtype_reason": description.dtype_reason,
            "device": description.device,
            "engine": description.engine,
            "context_tokens": description.context_tokens,
            "seconds": round(seconds, 2),
        },
    )


def _eos_token_ids(folder: Path, tokenizer: TextTokenizer) -> frozenset[int]:
    """The tokenizer's own end of sequence, which the model's configuration may not name."""
    file = folder / "tokenizer_config.json"
    config = orjson.loads(file.read_bytes()) if file.is_file() else {}
    token = special_tokens(config).get("eos_token")
    token_id = tokenizer.token_id(token) if token else None
    return frozenset() if token_id is None else frozenset({token_id})
