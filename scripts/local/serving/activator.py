"""The way in to the Services: starts a process where there is none, and lets the request wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from scripts.local.http import Client, ClientResponse, ConnectFailed, TimedOut
from scripts.local.http.head import Header
from scripts.local.manifests.model import Service
from scripts.local.manifests.problems import Problem

from .environment import child_environment
from .errors import NoSuchService
from .external import External
from .images import Image
from .logfile import LogFile
from .replica import Blueprint, Replica
from .revision import Revision
from .served import Served, first_missing

CONNECT_TRIES = 5
CONNECT_PAUSE_S = 0.05
"""A replica whose port is closed has just ended; by the next try that is known, and another has its place."""


class Activator:
    """The Services of the manifests between `start` and `stop`."""

    def __init__(
        self,
        services: Iterable[Service],
        data: Path,
        *,
        images: Mapping[str, Image],
        proxy: str,
        bound: Callable[[Service], Mapping[str, str]],
        secret: Callable[[str, str], str],
        external: Mapping[str, External] | None = None,
    ) -> None:
        """`external`: servers in the place of Services, by name; see `child_environment` for the rest."""
        self._client = Client()
        self._external = external or {}
        self._images = images
        self._data = data
        self._bound = bound
        self._environment = partial(child_environment, data=data, proxy=proxy, secret=secret)
        self._logs: dict[str, LogFile] = {}
        self._services = {service.name: service for service in services}
        self._served = {
            name: self._serve(service)
            for name, service in self._services.items()
            if name not in self._external
        }
        self._leaving: dict[Revision, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start the processes that should be there before anyone asks."""
        for served in self._served.values():
            served.start()

    def missing(
        self, services: Iterable[Service], bound: Callable[[Service], Mapping[str, str]]
    ) -> list[Problem]:
        """Why these Services can't be applied: their traffic names revisions that there aren't."""
        return [
            problem
            for service in services
            for problem in (
                self._served[service.name].missing(service, bound(service))
                if service.name in self._served
                else first_missing(service)
            )
        ]

    def apply(
        self, services: Iterable[Service], bound: Callable[[Service], Mapping[str, str]]
    ) -> dict[str, str]:
        """Go over to these Services, which have passed `missing`; the new revisions, by object."""
        self._bound = bound
        changes: dict[str, str] = {}
        before, self._services = self._services, {service.name: service for service in services}
        for name in before.keys() - self._services.keys():
            if (served := self._served.pop(name, None)) is not None:
                for revision in served.all():
                    self._leave(revision)
        for name, service in self._services.items():
            if name in self._external:
                continue
            if name in self._served:
                if (made := self._served[name].apply(service, bound(service))) is not None:
                    changes[f"Service {service.namespace}/{name}"] = made
            else:
                self._served[name] = self._serve(service)
                self._served[name].start()
        return changes

    async def stop(self, grace_s: float) -> None:
        """End every process: it may take `grace_s` to finish what it serves."""
        there = [revision for served in self._served.values() for revision in served.all()]
        await asyncio.gather(*(revision.stop(grace_s) for revision in [*there, *self._leaving]))
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)
        await self._client.close()
        for log in self._logs.values():
            log.close()

    async def request(
        self,
        service: str,
        method: bytes,
        target: bytes,
        headers: Iterable[Header],
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        tag: str | None = None,
        timeout_s: float | None = None,
    ) -> ClientResponse:
        """As `Client.request`, to one of the Service's replicas; `tag` names one of its traffic's targets.

        The time that it waits for a replica counts against `timeout_s`, and against the Service's
        `timeoutSeconds`. The replica is busy until the answer is read to its end, or closed. Raises
        `NoSuchService`, `NoReplica`, and what `Client.request` raises.
        """
        known = self._services.get(service)
        if known is None:
            raise NoSuchService(f"there is no Service {service}; there are {', '.join(self._services)}")
        limit_s = known.timeout_s if timeout_s is None else min(timeout_s, known.timeout_s)
        if (external := self._external.get(service)) is not None:
            return await external.request(self._client, method, target, headers, body, timeout_s=limit_s)
        revision = self._served[service].revision(tag)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        fields = list(headers)
        refused: Replica | None = None
        for attempt in range(CONNECT_TRIES):
            replica = revision.take() or await _wait(revision, deadline, limit_s)
            try:
                response = await self._send(
                    revision, replica, method, target, fields, body, deadline - loop.time()
                )
            except ConnectFailed:
                revision.release(replica)
                if attempt == CONNECT_TRIES - 1:
                    raise
                if replica is refused:
                    revision.unreachable(replica)
                refused = replica
                await asyncio.sleep(CONNECT_PAUSE_S)
            except BaseException:
                revision.release(replica)
                raise
            else:
                response.on_end(lambda replica=replica: revision.release(replica))  # type: ignore[misc]
                return response
        raise AssertionError("the last attempt returns or raises")

    async def warm(self, service: str) -> None:
        """Wait until the Service has a replica that is ready. `NoReplica`, `TimedOut`."""
        if (served := self._served.get(service)) is not None:
            revision = served.revision(None)
            deadline_s = revision.service.progress_deadline_s
            deadline = asyncio.get_running_loop().time() + deadline_s
            revision.release(revision.take() or await _wait(revision, deadline, deadline_s))

    def idle_timeout_s(self, service: str) -> float | None:
        """The longest pause that an answer of the Service may make; None: any."""
        return self._services[service].idle_timeout_s

    def status(self) -> list[dict[str, Any]]:
        """One row a Service."""
        rows = [served.status() for served in self._served.values()]
        return rows + [external.status(name) for name, external in self._external.items()]

    def _serve(self, service: Service) -> Served:
        return Served(service, self._bound(service), self._make)

    def _make(
        self, name: str, service: Service, bound: Mapping[str, str], on_ready: Callable[[Revision], None]
    ) -> Revision:
        image = self._images[service.image]
        environment = self._environment(service, image, revision=name, bound=bound)
        if service.name not in self._logs:
            self._logs[service.name] = LogFile(self._data / "logs" / f"{service.name}.log")
        blueprint = Blueprint(service, image, environment, self._logs[service.name], self._client)
        return Revision(name, blueprint, on_ready)

    def _leave(self, revision: Revision) -> None:
        """End a revision of a Service that is no more, in as much time as its answers may take."""
        leaving = asyncio.get_running_loop().create_task(revision.stop(revision.service.timeout_s))
        self._leaving[revision] = leaving
        leaving.add_done_callback(lambda _: self._leaving.pop(revision))

    async def _send(
        self,
        revision: Revision,
        replica: Replica,
        method: bytes,
        target: bytes,
        headers: list[Header],
        body: bytes | AsyncIterator[bytes],
        left_s: float,
    ) -> ClientResponse:
        start_s = revision.service.response_start_timeout_s
        request = self._client.request(
            method, "127.0.0.1", replica.port, target, headers, body, timeout_s=max(left_s, 0.001)
        )
        if start_s >= left_s:
            return await request
        try:
            async with asyncio.timeout(start_s):
                return await request
        except TimeoutError:
            raise TimedOut(
                f"{revision.service.name} didn't begin to answer within {start_s:g} s"
                " (responseStartTimeoutSeconds)"
            ) from None


async def _wait(revision: Revision, deadline: float, limit_s: float) -> Replica:
    try:
        async with asyncio.timeout_at(deadline):
            return await revision.acquire()
    except TimeoutError:
        raise TimedOut(f"no replica of {revision.service.name} was free within {limit_s:g} s") from None
