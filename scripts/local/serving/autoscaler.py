"""How many replicas: the rule of Knative's pod autoscaler (serving/pkg/autoscaler/scaling/autoscaler.go).

Stable: the mean load of the window, over what one replica should bear. Panic: the same over a tenth of the
window, when that asks for twice of what is there; while it lasts nothing is taken away.

Two things differ on one machine: a request that finds no free replica counts at once, for a process starts
in less than the two seconds between looks; and without a `max-scale` there are at most ten.
"""

from __future__ import annotations

import math
from collections import deque

from scripts.local.manifests.model import Scaling

from .load import Load

MAX_SCALE_HERE = 10
MAX_SCALE_DOWN_RATE = 2.0


class Autoscaler:
    """Decides for one Service."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.load = Load(scaling.window_s, rate=scaling.metric == "rps")
        self._each = scaling.target * scaling.utilisation
        self._began = 0.0
        self._panic_since: float | None = None
        self._panic_scale = 0
        self._delayed: deque[tuple[float, int]] = deque()

    def begin(self, now: float) -> None:
        """There was nothing, and now there will be replicas."""
        self._began = now
        self._panic_since = None
        self._delayed.clear()
        self.load.begin(now)

    def at_once(self) -> int:
        """For what is there at this moment, a request that waits among it."""
        wanted = math.ceil(self.load.level / self._each) if self.scaling.metric == "concurrency" else 1
        return self._bounded(max(wanted, self.scaling.activation_scale))

    def wanted(self, now: float, ready: int) -> int:
        """Replicas there should be, looked at every two seconds or so; `ready` there are."""
        self.load.sample(now)
        stable = self._for(self.load.average(now, self.scaling.window_s))
        panic = self._for(self.load.average(now, self.scaling.window_s * self.scaling.panic_window))
        if ready:
            stable = max(stable, math.floor(ready / MAX_SCALE_DOWN_RATE))
        wanted = self._in_panic(now, stable, panic, max(ready, 1))
        if wanted == 0 and now < self.zero_at():
            wanted = 1
        wanted = self._delay_down(now, wanted)
        if 0 < wanted < self.scaling.activation_scale:
            wanted = self.scaling.activation_scale
        if now < self._began + self.scaling.window_s:
            wanted = max(wanted, self.scaling.initial_scale)
        return self._bounded(wanted)

    def zero_at(self) -> float:
        """When the last replica may go: the window is empty, and it was kept as long as it should be."""
        quiet_since = max(self.load.busy_until, self._began)
        return quiet_since + self.scaling.window_s + self.scaling.retention_s

    def _for(self, average: float) -> int:
        return math.ceil(average / self._each)

    def _in_panic(self, now: float, stable: int, panic: int, ready: int) -> int:
        if panic / ready >= self.scaling.panic_threshold:
            if self._panic_since is None:
                self._panic_scale = 0
            self._panic_since = now
        elif self._panic_since is not None and self._panic_since + self.scaling.window_s < now:
            self._panic_since = None
        if self._panic_since is None:
            return stable
        self._panic_scale = max(self._panic_scale, panic, stable)
        return self._panic_scale

    def _delay_down(self, now: float, wanted: int) -> int:
        """The most that was wanted during the scale-down delay."""
        if not self.scaling.scale_down_delay_s:
            return wanted
        while self._delayed and self._delayed[-1][1] <= wanted:
            self._delayed.pop()
        self._delayed.append((now, wanted))
        while self._delayed[0][0] < now - self.scaling.scale_down_delay_s:
            self._delayed.popleft()
        return self._delayed[0][1]

    def _bounded(self, wanted: int) -> int:
        return min(max(wanted, self.scaling.min_scale), self.scaling.max_scale or MAX_SCALE_HERE)
