"""A scenario: what is done, and what is seen then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .objects import CHANNEL
from .stage import Stage

Observation = dict[str, Any]
"""JSON; no times and no ids but as classes ("between 2 and 4 s", "another process")."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that Knative does.

    Attributes:
        name: a few words, also the beginning of its objects' names.
        sentence: what it is about.
        act: does it, and says what it saw.
        expected: what is seen on a cluster (knative.md, else upstream's sources).
        runner: what is seen on the runner where that is something else, and `why` it may be.
        broker_class: the class of Broker that it needs.
        timed: it looks at the clock, so it isn't tried while others start their processes.
    """

    name: str
    sentence: str
    act: Callable[[Stage], Awaitable[Observation]]
    expected: Observation
    runner: Observation | None = None
    why: str = ""
    broker_class: str = CHANNEL
    timed: bool = False

    @property
    def slug(self) -> str:
        """Its name in names."""
        return self.name.lower().replace(" ", "-")

    def expected_at(self, place: str) -> Observation:
        """What is to be seen at a place."""
        return self.runner if place == "runner" and self.runner is not None else self.expected
