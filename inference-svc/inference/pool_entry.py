"""One model of the pool: where it comes from, where it is, who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inference.load_progress import LoadProgress
from inference.loaded_model import LoadedModel


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that may be loaded: a folder, a .gguf file, or a hub id with its revision.

    `adapters` are where its adapters are, by their names; they are loaded with it.
    """

    name: str
    location: str
    revision: str | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)


class ModelState(StrEnum):
    """Where a model is."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Load:
    """A load on its way; `task` gives the model. `pinned`: whether to keep it then; None: as before."""

    task: asyncio.Task[LoadedModel]
    progress: LoadProgress
    pinned: bool | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """A model of the pool.

    Attributes:
        reserved_bytes: of the budget: what a load may take, then what the model does take.
        in_use: how many requests refer to it.
        failure: why it couldn't be loaded; that others took its room is no failure.
        last_used_s: when its load or a request has ended, whichever was later.
    """

    source: ModelSource
    pinned: bool = False
    model: LoadedModel | None = None
    load: Load | None = None
    failure: str | None = None
    reserved_bytes: int = 0
    in_use: int = 0
    last_used_s: float = 0.0

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.source.name

    @property
    def state(self) -> ModelState:
        """Where it is."""
        if self.load:
            return ModelState.LOADING
        if self.model:
            return ModelState.LOADED
        return ModelState.FAILED if self.failure else ModelState.UNLOADED

    @property
    def is_idle(self) -> bool:
        """Whether it may be evicted."""
        return self.model is not None and not self.pinned and not self.in_use
