"""What an engine's steps took, counted as Prometheus counts, for TGI's `tgi_batch_*` metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PREFILL, DECODE = "prefill", "decode"


@dataclass(slots=True)
class Histogram:
    """Of values, by upper bounds that belong to their buckets."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def take(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound and how many values are within it."""
        names = (*map(str, self.bounds), "+Inf")
        return list(zip(names, accumulate(self.counts), strict=True))


def _seconds() -> Histogram:
    return Histogram(SECONDS)


@dataclass(slots=True)
class MethodCounts:
    """Steps of one kind: `prefill` where a prompt is in it, else `decode`.

    Attributes:
        begun: steps, those that failed among them.
        done: without those.
        whole: seconds of a step.
        layout: of them, until the model computes: who takes part, guesses, and where everything lies.
        forward: the model's own.
        choice: choosing the tokens.
    """

    begun: int = 0
    done: int = 0
    whole: Histogram = field(default_factory=_seconds)
    layout: Histogram = field(default_factory=_seconds)
    forward: Histogram = field(default_factory=_seconds)
    choice: Histogram = field(default_factory=_seconds)


@dataclass(slots=True)
class StepCounts:
    """Of one engine. Written by its thread; read at any time, when a step may be counted in part."""

    methods: dict[str, MethodCounts] = field(
        default_factory=lambda: {PREFILL: MethodCounts(), DECODE: MethodCounts()}
    )
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def begin(self, method: str, sequences: int) -> None:
        """A step of so many sequences has been put together."""
        self.methods[method].begun += 1
        self.sizes.take(sequences)

    def end(self, method: str, layout_s: float, forward_s: float, choice_s: float) -> None:
        """It was computed."""
        counts = self.methods[method]
        counts.done += 1
        counts.layout.take(layout_s)
        counts.forward.take(forward_s)
        counts.choice.take(choice_s)
        counts.whole.take(layout_s + forward_s + choice_s)
