"""One revision of a Service: its replicas, the requests that wait for one, and how many should be there."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from .autoscaler import Autoscaler
from .backoff import BackOff
from .errors import NoReplica, StartFailed
from .replica import Blueprint, Replica, State

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""Between two looks of the autoscaler while there is something to do (Knative's tick-interval)."""
QUEUE = 1_000
"""Requests that may wait for a replica; more are told to come back."""


class Revision:
    """Keeps as many replicas as its load asks for, and gives each request to one of them."""

    def __init__(self, name: str, blueprint: Blueprint, on_ready: Callable[[Revision], None]) -> None:
        """`on_ready` is called for every replica that has become ready."""
        self.name = name
        self.service = blueprint.service
        self._on_ready = on_ready
        self._least = blueprint.service.scaling.min_scale
        self._retired = False
        self._blueprint = blueprint
        self._loop = asyncio.get_running_loop()
        self._autoscaler = Autoscaler(blueprint.service.scaling)
        self._capacity = blueprint.service.container_concurrency or math.inf
        self._back_off = BackOff()
        self._replicas: list[Replica] = []
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._lives: set[asyncio.Task[None]] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self._look_due = math.inf
        self._closing = False
        self._requests = 0
        self._restarts = 0

    def start(self, at_least: int = 0) -> None:
        """Start what should be there from the beginning, and `at_least` so many until one has been ready."""
        scaling = self.service.scaling
        self._least = max(scaling.min_scale, at_least)
        self._scale_to(max(self._least, scaling.initial_scale))

    def retire(self) -> None:
        """Nobody is sent here any more: what is being answered is finished, and the processes end."""
        self._retired, self._least = True, 0
        self._scale_to(self._pending() if self._waiting else 0)

    def come_back(self) -> None:
        """Requests come here (again)."""
        if self._retired:
            self._retired, self._least = False, self.service.scaling.min_scale
            self._scale_to(max(self._least, self._pending()))

    async def stop(self, grace_s: float) -> None:
        """Take nothing new and end every process, within `grace_s` or by force."""
        self._closing = True
        if self._next_look is not None:
            self._next_look.cancel()
        self._fail_waiting("the runner is stopping")
        await asyncio.gather(*(replica.stop(grace_s) for replica in self._replicas))
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)

    def take(self) -> Replica | None:
        """A replica for one more request, if there is one now. Who gets one gives it back by `release`."""
        if self._waiting or (replica := self._free()) is None:
            return None
        now = self._loop.time()
        self._requests += 1
        self._autoscaler.load.change(now, 1)
        replica.in_flight += 1
        if self._look_due > now + LOOK_S:
            self._look_at(now + LOOK_S)
        return replica

    async def acquire(self) -> Replica:
        """As `take`, but waits for a replica, and starts one where there is none. `NoReplica`."""
        return self.take() or await self._wait(self._loop.time())

    def release(self, replica: Replica) -> None:
        """The request is over."""
        self._autoscaler.load.change(self._loop.time(), -1)
        replica.in_flight -= 1
        if replica.state is State.STOPPING:
            replica.hang_up()
        elif replica.state is State.DRAINING and not replica.in_flight:
            self._end(replica)
        elif self._waiting:
            self._serve_waiting()

    def unreachable(self, replica: Replica) -> None:
        """It refuses connections, so it is on its way out: another takes its place."""
        if replica.state in (State.READY, State.UNREADY, State.DRAINING):
            self._end(replica)

    def status(self) -> dict[str, Any]:
        """What `scripts/run status` shows."""
        return {
            "state": self._summary(),
            "replicas": [{"revision": self.name, **replica.status()} for replica in self._replicas],
            "waiting": len(self._waiting),
            "requests": self._requests,
            "restarts": self._restarts,
            "reason": self._back_off.reason,
        }

    # Requests.

    def _free(self) -> Replica | None:
        """The replica with the fewest requests, if it takes one more."""
        best: Replica | None = None
        for replica in self._replicas:
            if replica.state is State.READY and (best is None or replica.in_flight < best.in_flight):
                best = replica
        return best if best is not None and best.in_flight < self._capacity else None

    async def _wait(self, now: float) -> Replica:
        if self._closing:
            raise NoReplica("the runner is stopping")
        if self._back_off.hopeless and now < self._back_off.not_before:
            raise NoReplica(self._hopeless())
        if len(self._waiting) >= QUEUE:
            raise NoReplica(f"{QUEUE} requests wait for {self.service.name} already")
        self._requests += 1
        place: asyncio.Future[Replica] = self._loop.create_future()
        self._waiting.append(place)
        self._autoscaler.load.change(now, 1)
        self._scale_to(max(self._autoscaler.at_once(), self._pending()))
        try:
            return await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.release(place.result())  # it was served and cancelled in the same moment
            else:
                if place in self._waiting:
                    self._waiting.remove(place)
                self._autoscaler.load.change(self._loop.time(), -1)
            raise

    def _serve_waiting(self) -> None:
        while self._waiting and (replica := self._free()) is not None:
            place = self._waiting.popleft()
            if not place.done():
                replica.in_flight += 1
                place.set_result(replica)

    def _fail_waiting(self, reason: str) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(NoReplica(reason))

    # Replicas.

    def _pending(self) -> int:
        return sum(replica.pending for replica in self._replicas)

    def _scale_to(self, wanted: int) -> None:
        """Bring the number of replicas to `wanted`; one that has requests is never stopped."""
        if self._closing:
            return
        surplus = self._pending() - wanted
        able = [replica for replica in self._replicas if replica.state in (State.READY, State.UNREADY)]
        for replica in sorted(able, key=lambda each: each.in_flight)[: max(surplus, 0)]:
            if not replica.in_flight:
                self._end(replica)
            elif replica.state is State.READY:
                replica.state = State.DRAINING
        for replica in [each for each in self._replicas if each.state is State.DRAINING][: max(-surplus, 0)]:
            replica.state = State.READY
            surplus += 1
        if surplus < 0:
            self._add(-surplus)
        self._serve_waiting()
        self._plan_look()

    def _add(self, count: int) -> None:
        now = self._loop.time()
        if now < self._back_off.not_before:
            self._look_at(self._back_off.not_before)
            return
        if not self._replicas:
            self._autoscaler.begin(now)
        for _ in range(count):
            replica = Replica(self._blueprint)
            self._replicas.append(replica)
            life = self._loop.create_task(self._live(replica))
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)

    async def _live(self, replica: Replica) -> None:
        """A replica from its start to its end, whatever that is."""
        failure: StartFailed | None = None
        status, expected = 0, False
        try:
            await replica.start()
            self._is_ready(replica)
            status = await replica.gone(self._serve_waiting)
        except StartFailed as reason:
            failure = reason
        finally:
            expected = replica.state is State.STOPPING
            replica.kill()
            self._replicas.remove(replica)
        if expected:
            self._restart()
        elif failure is not None:
            self._start_failed(failure)
        else:
            self._crashed(replica, status)

    def _is_ready(self, replica: Replica) -> None:
        if replica.state is State.STARTING:
            replica.state = State.READY
        self._back_off.ready()
        log.info("%s: process %d is ready", self.name, replica.pid)
        if not self._retired:
            self._least = self.service.scaling.min_scale
        self._on_ready(self)
        self._serve_waiting()
        self._plan_look()

    def _start_failed(self, failure: StartFailed) -> None:
        self._back_off.failed(self._loop.time(), str(failure))
        log.warning("%s could not be started: %s", self.name, failure)
        if self._back_off.hopeless or failure.final:
            self._fail_waiting(self._hopeless())
        self._restart()

    def _crashed(self, replica: Replica, status: int) -> None:
        now = self._loop.time()
        self._restarts += 1
        self._back_off.crashed(now, now - replica.ready_at)
        log.warning("%s: process %d ended with status %d", self.name, replica.pid, status)
        self._restart()

    def _restart(self) -> None:
        """Bring back what is needed: for those that wait, and for `min-scale`."""
        needed = max(self._least, self._autoscaler.at_once() if self._waiting else 0)
        if self._pending() < needed:
            self._scale_to(needed)

    def _end(self, replica: Replica) -> None:
        replica.state = State.STOPPING
        ending = self._loop.create_task(replica.stop(self.service.timeout_s))
        self._lives.add(ending)
        ending.add_done_callback(self._lives.discard)

    def _hopeless(self) -> str:
        return (
            f"{self.service.name} can't be started: {self._back_off.reason};"
            f" its log is {self._blueprint.log.path}"
        )

    def _summary(self) -> str:
        states = [replica.state for replica in self._replicas]
        for state in (State.READY, State.STARTING, State.UNREADY, State.DRAINING, State.STOPPING):
            if state in states:
                return str(state.value)
        return "failing" if self._back_off.hopeless else "zero"

    # The autoscaler's looks.

    def _look(self) -> None:
        self._next_look, self._look_due = None, math.inf
        ready = sum(replica.state is State.READY for replica in self._replicas)
        wanted = max(self._least, self._autoscaler.wanted(self._loop.time(), ready))
        if self._retired:
            wanted = 0
        if self._waiting:
            wanted = max(wanted, self._autoscaler.at_once(), self._pending())
        self._scale_to(wanted)

    def _plan_look(self) -> None:
        """Look again in two seconds while there is a load, else when the last replica may go, or never."""
        now = self._loop.time()
        if self._autoscaler.load.level or self._pending() > max(1, self._least):
            self._look_at(now + LOOK_S)
        elif self._pending() > self._least:
            self._look_at(max(self._autoscaler.zero_at(), now + LOOK_S))

    def _look_at(self, moment: float) -> None:
        if moment < self._look_due:
            if self._next_look is not None:
                self._next_look.cancel()
            self._next_look, self._look_due = self._loop.call_at(moment, self._look), moment
