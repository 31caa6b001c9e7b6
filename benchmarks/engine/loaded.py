"""The engine as the service loads it: by a thread that ends, so that only the engine's own has helpers.

A thread that has computed once keeps its helpers, and OpenMP lets all of them spin less as soon as there are
more than cores: loaded by the main thread, which goes on, every step would take a fifth longer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inference.engine.load import load_engine
from inference.engine.options import EngineOptions
from inference.engine.port import Engine


def loaded(folder: Path, options: EngineOptions) -> Engine:
    """The engine."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(load_engine, folder, options).result()
