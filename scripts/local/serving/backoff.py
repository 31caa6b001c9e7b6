"""When a process that ended may be started again."""

from __future__ import annotations

DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 10.0)
"""The first time at once: a process that served well and was killed is missed by whoever asks next."""
HEALTHY_AFTER_S = 10.0
GIVE_UP_AFTER = 3
"""Starts in a row that failed, after which requests aren't kept waiting for the next."""


class BackOff:
    """Counts the ends in a row of one Service's processes."""

    def __init__(self) -> None:
        self._ends = 0
        self._failed_starts = 0
        self.not_before = 0.0
        """No start before this moment (the loop's clock)."""
        self.reason: str | None = None
        """Why the last start failed; None once one has succeeded."""

    @property
    def hopeless(self) -> bool:
        """Whether waiting for the next try is no use to a request."""
        return self._failed_starts >= GIVE_UP_AFTER

    def ready(self) -> None:
        """A start has succeeded."""
        self._failed_starts = 0
        self.reason = None

    def failed(self, now: float, reason: str) -> None:
        """A process ended, or was ended, before it was ready."""
        self._failed_starts += 1
        self.reason = reason
        self._delay(now)

    def crashed(self, now: float, lived_s: float) -> None:
        """A process that had been ready ended by itself, `lived_s` after that."""
        if lived_s >= HEALTHY_AFTER_S:
            self._ends = 0
        self._delay(now)

    def _delay(self, now: float) -> None:
        self.not_before = now + DELAYS_S[min(self._ends, len(DELAYS_S) - 1)]
        self._ends += 1
