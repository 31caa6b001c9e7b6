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
_PLAIN_STEPS = 32  # after so many steps one without guesses is due, so that what they gain is known
_COLD_STEPS = 4  # the first ones, which take longer than any later
_KEPT_STEPS = 512  # for which a time that was measured counts
_WEIGHT = 0.2  # of the latest step in a time
_FIXED_ROWS = 10  # what a step costs beside its rows is taken to be as much as so many of them


@dataclass(slots=True)
class StepCosts:
    """The seconds of decode steps by their rows, as measured of late; between two counts on a straight line.

    Beyond the counts that are known a row is taken to cost little, so that more are tried from time to time.
    """

    steps: int = -_COLD_STEPS
    _known: dict[int, tuple[float, int]] = field(default_factory=dict)

    def take(self, rows: int, seconds: float) -> None:
        """Take in a step. One that took unusually long counts as twice what was expected."""
        self.steps += 1
        if self.steps <= 0:
            return
        if self._known:
            seconds = min(seconds, 2 * self.estimate(rows))
        before = self._known.get(rows, (seconds, 0))[0]
        self._known[rows] = before + _WEIGHT * (seconds - before), self.steps

    def is_due(self, rows: int) -> bool:
        """Whether such a step wasn't measured for too long to compare others with it."""
        known = self._known.get(rows)
        return known is None or self.steps - known[1] >= _PLAIN_STEPS

    def estimate(self, rows: int) -> float:
        """The seconds of a step with so many rows; something must have been measured."""
        if rows in self._known:
            return self._known[rows][0]
        less = max((known for known in self._known if known < rows), default=None)
        more = min((known for known in self._known if known > rows), default=None)
        if less is None or more is None:
            nearest = less or more or rows
            return self._known[nearest][0] * (_FIXED_ROWS + rows) / (_FIXED_ROWS + nearest)
        low_s, high_s = self._known[less][0], self._known[more][0]
        return low_s + (high_s - low_s) * (rows - less) / (more - less)

    def forget(self) -> None:
        """Drop what was measured too long ago."""
        oldest = self.steps - _KEPT_STEPS
        self._known = {rows: known for rows, known in self._known.items() if known[1] >= oldest}


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
        if not chances or self.costs.is_due(answers):
            return []
        self.costs.forget()
        best, number, tokens = _LEAST_GAIN * answers / self.costs.estimate(answers), 0, float(answers)
        for count, (chance, _) in enumerate(chances, 1):
            tokens += chance
            rate = tokens / self.costs.estimate(answers + count)
            if rate > best:
                best, number = rate, count
        return chances[:number]
