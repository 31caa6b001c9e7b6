"""How busy a Service has been: averages over time, as Knative's collector makes (metrics/collector.go)."""

from __future__ import annotations

from collections import deque


class Load:
    """Requests at once, or a second, averaged over the last seconds.

    The area under the curve is exact at every change; samples of it, one a look, are what windows begin at.
    """

    def __init__(self, window_s: float, *, rate: bool = False) -> None:
        """`window_s`: the longest window asked for. `rate`: requests a second are measured, not at once."""
        self._window_s = window_s
        self._rate = rate
        self._level = 0
        self._since = 0.0
        self._area = 0.0
        self._samples: deque[tuple[float, float]] = deque()
        self.busy_until = 0.0
        """When there last was something to do."""

    @property
    def level(self) -> int:
        """Requests at this moment."""
        return self._level

    def change(self, now: float, by: int) -> None:
        """A request has come (+1) or gone (-1)."""
        self._advance(now)
        self._level += by
        self.busy_until = now
        if self._rate and by > 0:
            self._area += 1.0

    def begin(self, now: float) -> None:
        """Forget the past: it begins anew after having been at zero."""
        self._since, self._area = now, 0.0
        self._samples.clear()
        self._samples.append((now, 0.0))

    def average(self, now: float, window_s: float) -> float:
        """The mean over the last `window_s`, or over the time since `begin` where that is less."""
        if not self._level and self.busy_until <= now - window_s:
            return 0.0
        start, area = self._at(now - window_s)
        return (self._area - area) / (now - start) if now > start else 0.0

    def sample(self, now: float) -> None:
        """Take note of this moment, for windows that will begin near it."""
        self._advance(now)
        self._samples.append((now, self._area))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()

    def _advance(self, now: float) -> None:
        if not self._rate:
            self._area += self._level * (now - self._since)
        self._since = now
        if self._level:
            self.busy_until = now

    def _at(self, moment: float) -> tuple[float, float]:
        """The latest sample that isn't after `moment`, else the first."""
        found = self._samples[0] if self._samples else (self._since, 0.0)
        for sample in self._samples:
            if sample[0] > moment:
                break
            found = sample
        return found
