"""The way in to the Services: starts a process where there is none, and lets the request wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.local.http import Client, ClientResponse, ConnectFailed, TimedOut
from scripts.local.http.head import Header
from scripts.local.manifests.model import Service

from .environment import child_environment
from .errors import NoSuchService
from .external import External
from .images import Image
from .logfile import LogFile
from .replica import Blueprint, Replica
from .revision import Revision

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
        self._services = {service.name: service for service in services}
        self._revisions = {
            service.name: Revision(
                Blueprint(
                    service,
                    images[service.image],
                    child_environment(
                        service, images[service.image], data, proxy=proxy, bound=bound(service), secret=secret
                    ),
                    LogFile(data / "logs" / f"{service.name}.log"),
                    self._client,
                )
            )
            for service in self._services.values()
            if service.name not in self._external
        }

    def start(self) -> None:
        """Start the processes that should be there before anyone asks."""
        for revision in self._revisions.values():
            revision.start()

    async def stop(self, grace_s: float) -> None:
        """End every process: it may take `grace_s` to finish what it serves."""
        await asyncio.gather(*(revision.stop(grace_s) for revision in self._revisions.values()))
        await self._client.close()

    async def request(
        self,
        service: str,
        method: bytes,
        target: bytes,
        headers: Iterable[Header],
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        timeout_s: float | None = None,
    ) -> ClientResponse:
        """As `Client.request`, to one of the Service's replicas.

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
        revision = self._revisions[service]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        fields = list(headers)
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
        if (revision := self._revisions.get(service)) is not None:
            deadline_s = revision.service.progress_deadline_s
            deadline = asyncio.get_running_loop().time() + deadline_s
            revision.release(revision.take() or await _wait(revision, deadline, deadline_s))

    def idle_timeout_s(self, service: str) -> float | None:
        """The longest pause that an answer of the Service may make; None: any."""
        return self._services[service].idle_timeout_s

    def status(self) -> list[dict[str, Any]]:
        """One row a Service."""
        rows = [revision.status() for revision in self._revisions.values()]
        return rows + [external.status(name) for name, external in self._external.items()]

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
