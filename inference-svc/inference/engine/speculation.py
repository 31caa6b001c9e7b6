"""How many tokens to guess in a step: as many as make it give more tokens a second than it would without.

Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with guesses that cost nothing to make. What is
verified is exact: each place's token is chosen as ever, and a guess only stays if it is that token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from inference.engine.guesses import Guesses

_LEAST_CHANCE = 0.05  # of a guess to be considered
_LEAST_GAIN = 1.05  # in tokens a second, by the estimate
_PLAIN_STEPS = 32  # after so many steps one without guesses is due, so that what they gain is known
_COLD_STEPS = 4  # the first ones, which take longer than any later
_KEPT_STEPS = 512  # for which a time that was measured counts
_WEIGHT = 0.2  # of the latest step in a time
_FIXED_ROWS = 10  # what a step costs beside its rows is taken to be as much as so many of them
_FAR_ROWS = 1_000_000  # more than a step has


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
        return self.estimates(range(rows, rows + 1))[0]

    def estimates(self, rows: range) -> list[float]:
        """`estimate` of each of ascending numbers of rows."""
        known = sorted((number, seconds) for number, (seconds, _) in self._known.items())
        ends = (
            (number, seconds * (_FIXED_ROWS + number) / (_FIXED_ROWS + nearest))
            for number, (nearest, seconds) in ((0, known[0]), (_FAR_ROWS, known[-1]))
        )
        first, last = ends
        found: list[float] = []
        for (low, low_s), (high, high_s) in pairwise((first, *known, last)):
            row_s = (high_s - low_s) / (high - low)
            inside = range(max(low, rows.start), min(high, rows.stop))
            found += [low_s + row_s * (number - low) for number in inside]
        return found

    def forget(self) -> None:
        """Drop what was measured too long ago."""
        oldest = self.steps - _KEPT_STEPS
        self._known = {rows: known for rows, known in self._known.items() if known[1] >= oldest}


@dataclass(slots=True)
class Speculation:
    """Decides on the drafts of each step; `most` for one answer, 0: none."""

    most: int
    costs: StepCosts = field(default_factory=StepCosts)

    def drafts(self, answers: Sequence[Guesses], rooms: Sequence[int], rows: int) -> list[list[int]]:
        """The drafts of a step that decodes all `answers`.

        Args:
            answers: with every token that has come.
            rooms: how many more tokens each may have beside the one that the step makes anyhow.
            rows: how many drafts the step has room for.
        """
        ready = [
            (which, answer.acceptance, min(self.most, room))
            for which, (answer, room) in enumerate(zip(answers, rooms, strict=True))
            if answer.is_ready and answer.acceptance > _LEAST_CHANCE and room > 0
        ]
        drafts: list[list[int]] = [[] for _ in answers]
        if not ready or self.costs.is_due(len(answers)):
            return drafts
        self.costs.forget()
        for which, length in self._lengths(ready, rows, len(answers)).items():
            drafts[which] = answers[which].next_tokens(length)
        return drafts

    def _lengths(self, ready: list[tuple[int, float, int]], rows: int, answers: int) -> dict[int, int]:
        """Of which drafts give the most tokens a second, if their likeliest tokens come first."""
        chances: list[tuple[float, int]] = []
        for which, acceptance, most in ready:
            chance = 1.0
            for _ in range(most):
                chance *= acceptance
                chances.append((chance, which))
        chances.sort(reverse=True)
        del chances[rows:]
        best, number, tokens = _LEAST_GAIN * answers / self.costs.estimate(answers), 0, float(answers)
        seconds = self.costs.estimates(range(answers + 1, answers + 1 + len(chances)))
        for count, ((chance, _), step_s) in enumerate(zip(chances, seconds, strict=True), 1):
            tokens += chance
            if tokens / step_s > best:
                best, number = tokens / step_s, count
        lengths: dict[int, int] = {}
        for _, which in chances[:number]:
            lengths[which] = lengths.get(which, 0) + 1
        return lengths
