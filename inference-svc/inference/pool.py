"""The models of this process under one budget of memory: loaded when they are asked for, evicted when idle.

A model is referred to while a request uses it, and never leaves then. Of the others the one used longest ago
goes first. Loads happen one after the other; who asks for a model that loads already waits for the same load.
One that leaves counts until its memory is free: what needs room meanwhile waits for that.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from inference.checkpoint.errors import CheckpointError
from inference.errors import (
    InferenceError,
    InsufficientMemoryError,
    InternalError,
    LoadFailedError,
    ModelInUseError,
    ModelTooLargeError,
    UnknownModelError,
)
from inference.load_progress import LoadProgress, LoadStep, Percents
from inference.loaded_model import LoadedModel
from inference.pool_entry import Entry, Load, ModelSource
from inference.threads import in_thread

ANY_MODEL = frozenset({None, "", "default", "tgi", "dummy"})
"""What clients send who don't choose; the last two are TGI's and huggingface_hub's."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checkpoint on this machine. `load` blocks, and tells its argument the bytes that are in memory."""

    needed_bytes: int
    load: Callable[[Callable[[int], None]], LoadedModel]


class Loader(Protocol):
    """Where models come from. Both block: call them off the event loop."""

    def budget_bytes(self) -> int | None:
        """What all models together may take; None for one model alone, which takes what it needs."""
        ...

    def prepare(self, source: ModelSource, report: Callable[[str], None]) -> Prepared:
        """Fetch or convert it where needed, and tell how much memory it needs at most.

        Raises:
            CheckpointError: the model can't be had; `Prepared.load` likewise.
        """
        ...


class ModelPool:
    """Models by name. The first source is the default model, which is pinned."""

    def __init__(self, sources: Sequence[ModelSource], loader: Loader, clock: Callable[[], float]) -> None:
        self._loader = loader
        self._clock = clock
        self._entries = {source.name: Entry(source) for source in sources}
        self._by_adapter = {
            adapter: entry for entry in self._entries.values() for adapter in entry.source.adapters
        }
        self.default = self._entries[sources[0].name]
        self.default.pinned = True
        self.budget_bytes: int | None = None
        self.closing: list[LoadedModel] = []  # whose engines end the step that they compute
        self._loads = asyncio.Lock()
        self._room = asyncio.Lock()  # held while a model leaves, and while a load sees what room there is

    @property
    def reserved_bytes(self) -> int:
        """What the models take, and what those that load may take."""
        return sum(entry.reserved_bytes for entry in self._entries.values())

    def entries(self) -> Iterator[Entry]:
        """All models, the default one first."""
        yield from self._entries.values()

    def loaded(self) -> Iterator[LoadedModel]:
        """Those that are in memory."""
        return (entry.model for entry in self._entries.values() if entry.model)

    def entry(self, name: str | None) -> Entry:
        """The model that a request means; an adapter's name means that of its model.

        Where there is only one model, without adapters, every name means it.

        Raises:
            UnknownModelError: there is a choice, and none has this name.
        """
        named = self._entries.get(name or "") or self._by_adapter.get(name or "")
        if named:
            return named
        if name in ANY_MODEL or (len(self._entries) == 1 and not self._by_adapter):
            return self.default
        raise UnknownModelError(f"there is no model {name!r}; GET /v1/models lists those there are")

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[LoadedModel]:
        """Refer to a model until the block ends; it is loaded first where it isn't.

        Raises:
            UnknownModelError: there is none of this name.
            LoadFailedError: it can't be loaded; `GET /models` says why.
            ModelTooLargeError, InsufficientMemoryError: there is no room for it, at all or at present.
        """
        entry = self.entry(name)
        entry.in_use += 1  # before it has loaded, so that it can't be evicted in between
        try:
            yield entry.model or await self._loaded_for_request(entry)
        finally:
            entry.in_use -= 1
            entry.last_used_s = self._clock()

    def start_load(self, name: str, pinned: bool | None = None) -> Load | None:
        """Begin to load a model, or join the load that has begun; None where it is loaded.

        `pinned`: keep the model once it is loaded, or let it be evicted again; a load that fails changes
        nothing. The default model stays pinned.

        Raises:
            UnknownModelError: there is none of this name.
        """
        entry = self._named(name)
        if entry.model:
            self._pin(entry, pinned)
            return None
        if entry.load is None:
            progress = LoadProgress()
            task = asyncio.create_task(self._load(entry, progress))
            entry.load = Load(task, progress)
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # somebody may look
        if pinned is not None:
            entry.load.pinned = pinned
        return entry.load

    async def unload(self, name: str) -> Entry:
        """Free what a model takes, also where the caller leaves. One that isn't loaded is left as it is.

        Raises:
            UnknownModelError: there is none of this name.
            ModelInUseError: a request uses it, it is being loaded, or it is the default one.
        """
        entry = self._named(name)
        if entry is self.default:
            raise ModelInUseError("the default model stays loaded")
        await asyncio.shield(self._unload(entry))
        return entry

    def _named(self, name: str) -> Entry:
        if name not in self._entries:
            raise UnknownModelError(f"there is no model {name!r}; GET /models lists those there are")
        return self._entries[name]

    def _pin(self, entry: Entry, pinned: bool | None) -> None:
        if pinned is not None:
            entry.pinned = pinned or entry is self.default

    async def _unload(self, entry: Entry) -> None:
        async with self._room:
            if entry.load or entry.in_use:
                busy = "is being loaded" if entry.load else f"is used by {entry.in_use} requests"
                raise ModelInUseError(f"the model {entry.name} {busy}")
            entry.pinned, entry.failure = False, None
            await self._drop(entry)

    async def _loaded_for_request(self, entry: Entry) -> LoadedModel:
        load = self.start_load(entry.name)
        assert load is not None  # noqa: S101 (it has no model)
        try:
            return await asyncio.shield(load.task)
        except (LoadFailedError, InternalError):  # why is the operator's business
            raise LoadFailedError(f"the model {entry.name} could not be loaded") from None

    async def _load(self, entry: Entry, progress: LoadProgress) -> LoadedModel:
        try:
            async with self._loads:
                entry.model = await self._load_now(entry, progress)
        except InsufficientMemoryError as error:  # says nothing of the model: there may be room the next time
            _log.warning("%s", error)
            raise
        except InferenceError as error:
            entry.failure = str(error)
            _log.error("%s", error)
            raise
        else:
            entry.failure, entry.last_used_s = None, self._clock()
            if entry.load:
                self._pin(entry, entry.load.pinned)
            return entry.model
        finally:
            entry.reserved_bytes = entry.model.memory_bytes if entry.model else 0
            entry.load = None
            progress.end()

    async def _load_now(self, entry: Entry, progress: LoadProgress) -> LoadedModel:
        loop = asyncio.get_running_loop()

        def report(line: str) -> None:
            _log.info(line)
            loop.call_soon_threadsafe(progress.tell, LoadStep(line))

        try:
            if self.budget_bytes is None:
                self.budget_bytes = await in_thread(self._loader.budget_bytes, loop)
            prepared = await in_thread(lambda: self._loader.prepare(entry.source, report), loop)
            total = prepared.needed_bytes
            await self._reserve(entry, total)
            percents = Percents(total)

            def count(loaded: int) -> None:
                if percents.passes(loaded):
                    loop.call_soon_threadsafe(progress.tell, LoadStep(None, loaded, total))

            return await in_thread(lambda: prepared.load(count), loop)
        except CheckpointError as error:
            raise LoadFailedError(str(error)) from None
        except InferenceError:
            raise
        except Exception:  # noqa: BLE001 (what is unforeseen stays in the log)
            _log.exception("a load failed unexpectedly")
            raise InternalError(f"the model {entry.name} could not be loaded; the log says why") from None

    async def _reserve(self, entry: Entry, needed_bytes: int) -> None:
        """Take a part of the budget, evicting idle models where that makes room; all of it or nothing."""
        async with self._room:
            if self.budget_bytes is not None:
                await self._make_room(entry, needed_bytes, self.budget_bytes)
            entry.reserved_bytes = needed_bytes

    async def _make_room(self, entry: Entry, needed_bytes: int, budget_bytes: int) -> None:
        others = [other for other in self._entries.values() if other is not entry]
        self._check_room(entry, needed_bytes, others, budget_bytes)
        while self.reserved_bytes + needed_bytes > budget_bytes:
            idle = [other for other in others if other.is_idle]
            await self._drop(min(idle, key=lambda other: other.last_used_s))
            self._check_room(entry, needed_bytes, others, budget_bytes)  # one may be in use by now

    def _check_room(
        self, entry: Entry, needed_bytes: int, others: Sequence[Entry], budget_bytes: int
    ) -> None:
        """See that evicting all idle models would make room."""
        pinned_bytes = sum(other.reserved_bytes for other in others if other.pinned)
        busy_bytes = sum(other.reserved_bytes for other in others if not other.is_idle)
        told = f"the model {entry.name} needs up to {needed_bytes} bytes of {budget_bytes}"
        if needed_bytes + pinned_bytes > budget_bytes:
            raise ModelTooLargeError(f"{told}, of which pinned models take {pinned_bytes}")
        if needed_bytes + busy_bytes > budget_bytes:
            raise InsufficientMemoryError(f"{told}, of which models in use take {busy_bytes}")

    async def _drop(self, entry: Entry) -> None:
        """Free what a model takes, if it is loaded, while `_room` is held."""
        model, entry.model = entry.model, None
        if model:
            loop = asyncio.get_running_loop()
            self.closing.append(model)
            await in_thread(model.engine.close, loop)
            self.closing.remove(model)
            del model
            await in_thread(gc.collect, loop)  # there are cycles in it, which would keep the weights
            entry.reserved_bytes = 0
            _log.info("model unloaded", extra={"model": entry.name})
