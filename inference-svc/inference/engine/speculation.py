"""How many tokens to guess in a step: as many as make it give more tokens a second than it would without.

Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with guesses that cost nothing to make. What is
verified is exact: each place's token is chosen as ever, and a guess only stays if it is that token.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference.engine.guesses import Guesses

_LEAST_CHANCE = 0.05  # of a guess to be considered
_LEAST_GAIN = 1.05  # in tokens a second, by the estimate
_MEMORY = 0.95  # of a step's weight, what it still has one step later
_COLD_STEPS = 4  # the first ones, which take longer than any later
_ROW_SHARE = 0.1
_PRIOR_WEIGHT = 1.0  # in squared rows, as those that were seen


@dataclass(slots=True)
class StepCosts:
    """The seconds of a decode step as a straight line over its rows, fitted to the latest steps.

    Where they all had the same rows, a row is taken to cost a tenth of what the step costs beside its rows:
    little, so that guessing is tried again from time to time.
    """

    cold: int = _COLD_STEPS
    weight: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0
    rows_spread: float = 0.0
    both_spread: float = 0.0

    def take(self, rows: int, seconds: float) -> None:
        """Take in a step. One that took unusually long counts as twice its estimate."""
        if self.cold:
            self.cold -= 1
            return
        if self.weight >= 1:
            seconds = min(seconds, 2 * self.estimate(rows))
        self.weight = _MEMORY * self.weight + 1
        share = 1 / self.weight
        ahead_rows, ahead_seconds = rows - self.rows, seconds - self.seconds
        self.rows += share * ahead_rows
        self.seconds += share * ahead_seconds
        self.rows_spread = _MEMORY * self.rows_spread + ahead_rows * (rows - self.rows)
        self.both_spread = _MEMORY * self.both_spread + ahead_rows * (seconds - self.seconds)

    def estimate(self, rows: int) -> float:
        """The seconds of a step with so many rows; 0 while nothing is known."""
        usual = self.seconds / (1 / _ROW_SHARE + self.rows)
        spread = self.rows_spread + _PRIOR_WEIGHT
        slope = (self.both_spread + _PRIOR_WEIGHT * usual) / spread
        return self.seconds + max(slope, 0.0) * (rows - self.rows)


@dataclass(slots=True)
class Speculation:
    """Decides on the drafts of each step; `most` for one answer, 0: none."""

    most: int
    clock: Callable[[], float] = time.perf_counter
    costs: StepCosts = field(default_factory=StepCosts)

    def drafts(self, answers: Sequence[Guesses], rooms: Sequence[int], rows: int) -> list[list[int]]:
        """The drafts of a step that decodes all `answers`.

        Args:
            answers: with every token that has come.
            rooms: how many more tokens each may have beside the one that the step makes anyhow.
            rows: how many drafts the step has room for.
        """
        chances = [
            (answer.acceptance**length, which)
            for which, (answer, room) in enumerate(zip(answers, rooms, strict=True))
            if answer.is_ready and answer.acceptance > _LEAST_CHANCE
            for length in range(1, min(self.most, room) + 1)
        ]
        lengths = Counter(
            which for _, which in self._worthwhile(sorted(chances, reverse=True)[:rows], len(answers))
        )
        return [answer.next_tokens(lengths[which]) for which, answer in enumerate(answers)]

    def _worthwhile(self, chances: list[tuple[float, int]], answers: int) -> list[tuple[float, int]]:
        """The first so many of `chances`, the likeliest before the others, that give the most a second."""
        alone_s = self.costs.estimate(answers)
        if not chances or not alone_s:
            return []
        best, number, tokens = _LEAST_GAIN * answers / alone_s, 0, float(answers)
        for count, (chance, _) in enumerate(chances, 1):
            tokens += chance
            rate = tokens / self.costs.estimate(answers + count)
            if rate > best:
                best, number = rate, count
        return chances[:number]
