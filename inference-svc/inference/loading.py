"""Loading the model, from `MODEL_ID` to something that serves. Heavy imports happen here, in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import orjson

from inference.chat_template import read_chat_template, special_tokens
from inference.checkpoint.errors import CheckpointError
from inference.engine.grammar import GrammarCompiler
from inference.engine.port import EngineDescription
from inference.limits import limits_for
from inference.serving import LoadedModel
from inference.settings import Settings
from inference.tokenizer import TextTokenizer

_log = logging.getLogger(__name__)
T = TypeVar("T")


def load_model(settings: Settings) -> LoadedModel:
    """Fetch, read and warm up the model. Takes seconds to minutes and blocks.

    Raises:
        CheckpointError: the model isn't there, isn't whole, or is of a kind that can't be served.
    """
    from inference.checkpoint.locate import locate_checkpoint
    from inference.engine.load import EngineOptions, configured_eos_token_ids, load_engine

    started_s = time.monotonic()
    checkpoint = locate_checkpoint(settings.model_id, settings.revision, settings.model_cache_dir, _log.info)
    try:
        tokenizer = TextTokenizer.from_folder(checkpoint.folder)
        eos_token_ids = _eos_token_ids(checkpoint.folder, tokenizer)
        template = read_chat_template(checkpoint.folder)
        options = EngineOptions(
            dtype=settings.dtype,
            num_threads=settings.num_threads,
            eos_token_ids=eos_token_ids,
            engine=settings.engine,
            quantize=settings.quantize,
            cache_tokens=settings.max_batch_total_tokens,
        )
        grammars = GrammarCompiler(
            tokenizer.to_json(), eos_token_ids | configured_eos_token_ids(checkpoint.folder)
        )
        engine = load_engine(checkpoint.folder, options)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the model in {checkpoint.folder} can't be loaded: {error}") from error
    name = settings.served_model_name or checkpoint.name
    _tell(name, engine.description, time.monotonic() - started_s)
    return LoadedModel(
        name=name,
        revision=checkpoint.revision,
        engine=engine,
        tokenizer=tokenizer,
        chat_template=template,
        limits=limits_for(settings, engine.description.context_tokens),
        grammars=grammars,
    )


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


def in_thread(work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    """Run `work` in a daemon thread: unlike an executor's, it doesn't hold up the end of the process."""
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a T wherever there is no error

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (handed over to whoever awaits the future)
            outcome: tuple[T | None, Exception | None] = (None, error)
        else:
            outcome = (result, None)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="load", daemon=True).start()
    return future
