"""One process of a Service, from its start to its end."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.local.http import Client
from scripts.local.manifests.model import Service

from .child import Child, spawn
from .errors import StartFailed
from .expansion import expand
from .images import Image
from .logfile import LogFile
from .memory import group_memory_bytes
from .ports import free_port
from .probing import until_ready, until_started, watch


class State(enum.Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    """Its readiness probe fails: it finishes what it has and gets nothing new."""
    DRAINING = "draining"
    """It is one too many: it finishes what it has, then stops."""
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What every replica of a Service is made from."""

    service: Service
    image: Image
    environment: Mapping[str, str]
    log: LogFile
    client: Client


class Replica:
    """A process, its port, and how many requests it has."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._child: Child | None = None
        self.state = State.STARTING
        self.port = free_port()
        self.in_flight = 0
        self.ready_at = 0.0
        """When it became ready (the loop's clock)."""

    @property
    def pid(self) -> int:
        """The process id, which is also its group's; 0 before it has one."""
        return self._child.pid if self._child is not None else 0

    @property
    def pending(self) -> bool:
        """Whether it counts as one of those that the autoscaler asked for."""
        return self.state in (State.STARTING, State.READY, State.UNREADY)

    def status(self) -> dict[str, Any]:
        """Its row in `scripts/run status --json`."""
        return {
            "pid": self.pid,
            "port": self.port,
            "state": self.state.value,
            "in_flight": self.in_flight,
            "memory_mb": round(group_memory_bytes(self.pid) / 1e6, 1) if self.pid else 0.0,
        }

    async def start(self) -> None:
        """Run the command until its probes say that it is ready. `StartFailed` with the reason."""
        plan = self._blueprint
        environment = {**plan.environment, "PORT": str(self.port)}
        command = [expand(word, environment) for word in plan.service.command]
        self._child = await spawn(command, environment, plan.image.folder, plan.log)
        probing = asyncio.ensure_future(self._probe())
        try:
            async with asyncio.timeout(plan.service.progress_deadline_s):
                await asyncio.wait((probing, self._child.exited), return_when=asyncio.FIRST_COMPLETED)
            if self._child.exited.done():
                raise StartFailed(f"the process ended with status {self._child.exited.result()}")
            probing.result()
        except TimeoutError:
            reason = f"it was not ready within {plan.service.progress_deadline_s:g} s (progress-deadline)"
            raise StartFailed(reason, final=True) from None
        finally:
            probing.cancel()
        self.ready_at = asyncio.get_running_loop().time()

    async def gone(self, changed: Callable[[], None]) -> int:
        """Watch its probes until the process ends; return the exit status. `changed`: the state has."""
        assert self._child is not None  # noqa: S101  it has been started
        service, child = self._blueprint.service, self._child
        watchers = []

        def readiness(good: bool) -> None:
            if self.state in (State.READY, State.UNREADY):
                self.state = State.READY if good else State.UNREADY
                changed()

        if service.readiness.period_s:
            watchers.append(self._watch(readiness, liveness=False))
        if service.liveness is not None:
            watchers.append(self._watch(lambda good: None if good else child.kill(), liveness=True))
        tasks = [asyncio.ensure_future(each) for each in watchers]
        try:
            return await asyncio.shield(child.exited)
        finally:
            for task in tasks:
                task.cancel()

    async def stop(self, grace_s: float) -> None:
        """End the process: it may take `grace_s` to finish what it serves."""
        self.state = State.STOPPING
        self.hang_up()
        if self._child is not None:
            await self._child.stop(grace_s)

    def hang_up(self) -> None:
        """Close the idle connections to it: a server that stops may wait for them."""
        self._blueprint.client.forget("127.0.0.1", self.port)

    def kill(self) -> None:
        """End what is left of the process at once."""
        self.state = State.STOPPING
        if self._child is not None:
            self._child.kill()
        self.hang_up()

    def _watch(self, changed: Callable[[bool], None], *, liveness: bool) -> asyncio.Future[None]:
        service = self._blueprint.service
        probe = service.liveness if liveness else service.readiness
        assert probe is not None  # noqa: S101  the caller has looked
        return asyncio.ensure_future(watch(probe, self.port, self._blueprint.client, changed))

    async def _probe(self) -> None:
        service, client = self._blueprint.service, self._blueprint.client
        if service.startup is not None:
            await until_started(service.startup, self.port, client)
        await until_ready(service.readiness, self.port, client)
