"""A loader that hands out what it was given, when a test lets it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from inference.loaded_model import LoadedModel
from inference.pool import ModelPool, Prepared
from inference.pool_entry import ModelSource


@dataclass
class FakeLoader:
    """Makes the models of `others` anew at each load; `open` is cleared to hold loads up.

    What a model needs is in `needs`, 10 bytes where nothing is said; an error in `failures` is raised by the
    load instead.
    """

    others: dict[str, Callable[[], LoadedModel]] = field(default_factory=dict)
    budget: int | None = None
    needs: dict[str, int] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    open: threading.Event = field(default_factory=threading.Event)
    prepared: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open.set()

    def pool(self, default: LoadedModel) -> ModelPool:
        """A pool of a default model and the others; its clock counts how often it was asked."""
        self._makers = {default.name: lambda: default, **self.others}
        ticks = iter(range(10**9))
        adapters = dict.fromkeys(sorted(default.adapters), "nowhere")
        sources = [
            ModelSource(name, "nowhere", adapters=adapters if name == default.name else {})
            for name in self._makers
        ]
        return ModelPool(sources, self, lambda: float(next(ticks)))

    def budget_bytes(self) -> int | None:
        return self.budget

    def prepare(self, source: ModelSource, report: Callable[[str], None]) -> Prepared:
        report(f"looking for {source.name}")
        self.prepared.append(source.name)
        return Prepared(self.needs.get(source.name, 10), lambda progress: self._load(source.name, progress))

    def _load(self, name: str, progress: Callable[[int], None]) -> LoadedModel:
        progress(5)
        assert self.open.wait(10)
        self.loaded.append(name)
        if name in self.failures:
            raise self.failures[name]
        return self._makers[name]()
