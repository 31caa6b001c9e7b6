"""The machine while it runs: what listens, what is served, what is delivered, between a start and a stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .datafolder import DataFolder
from .eventing import Eventing, Sinks, sink_environment
from .eventing.sinks import INGRESS_HOSTS
from .http import Server, bind, serve_socket
from .manifests import ManifestError, Manifests
from .manifests.changes import changes
from .manifests.model import Service
from .serving import Activator, External, Image, Inner, Outer

ROOT = Path(__file__).parents[2]
IMAGES: Mapping[str, Image] = {
    "dev.local/hadal-functions": Image(ROOT / ".venv", ROOT),
    "dev.local/hadal-inference": Image(ROOT / "inference-svc/.venv", ROOT / "inference-svc"),
}
"""What stands here for the images of the manifests."""

SERVED_WITHIN_S = 2.5
"""How long a stop waits for what is being answered; all of it is over in five seconds."""
DELIVERED_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Doors:
    """The listening sockets: clients come in at the outer one, functions and events at the inner one."""

    outer: socket.socket
    inner: socket.socket

    @property
    def proxy(self) -> str:
        """The inner one's address."""
        return f"http://127.0.0.1:{self.inner.getsockname()[1]}"


def inner_door(data: DataFolder) -> socket.socket:
    """The inner socket, on the last start's port where that is free: other systems may post events to it."""
    remembered = data.path / "run" / "inner-port"
    try:
        door = bind("127.0.0.1", int(remembered.read_text()))
    except (OSError, ValueError):
        door = bind("127.0.0.1", 0)
    remembered.write_text(str(door.getsockname()[1]))
    return door


class Machine:
    """Serving and eventing of one set of manifests."""

    def __init__(
        self, manifests: Manifests, data: DataFolder, doors: Doors, external: Mapping[str, External]
    ) -> None:
        self._doors = doors
        self._manifests = manifests
        self._applying = asyncio.Lock()
        self.activator = Activator(
            manifests.services,
            data.path,
            images=IMAGES,
            proxy=doors.proxy,
            bound=_bound(manifests),
            secret=data.secret,
            external=external,
        )
        self.eventing = Eventing(manifests, data.path, self.activator)
        self._outer = Outer(manifests.services, self.activator)
        self._inner = Inner(manifests.services, self.activator, self.eventing.handle, INGRESS_HOSTS)
        self._servers: list[Server] = []

    async def start(self) -> None:
        """Open the log, take what comes in, start what should be there from the beginning. `LogRefused`."""
        await self.eventing.start()
        self._servers = [
            await serve_socket(self._outer, self._doors.outer),
            await serve_socket(self._inner, self._doors.inner),
        ]
        self.activator.start()

    async def apply(self, read: Callable[[], Manifests]) -> dict[str, str]:
        """Go over to the manifests as `read` finds them: what has changed, by object.

        Raises:
            ManifestError: they can't be read, or name revisions that there aren't; nothing has changed.
            LogRefused: the log took it not or only in part; applied again, the rest is done.
        """
        async with self._applying:
            manifests = read()
            bound = _bound(manifests)
            if problems := self.activator.missing(manifests.services, bound):
                raise ManifestError(problems)
            found = changes(self._manifests, manifests)
            revisions = self.activator.apply(manifests.services, bound)
            self._outer.apply(manifests.services)
            self._inner.apply(manifests.services)
            await self.eventing.apply(manifests)
            self._manifests = manifests
            return found | revisions

    async def stop(self) -> None:
        """End everything in less than five seconds.

        The processes go before the log, which takes the events that they send as they end.
        """
        outer, inner = self._servers
        await asyncio.gather(outer.close(SERVED_WITHIN_S), self.activator.stop(SERVED_WITHIN_S))
        await inner.close(DELIVERED_WITHIN_S)
        await self.eventing.stop(DELIVERED_WITHIN_S)


def _bound(manifests: Manifests) -> Callable[[Service], Mapping[str, str]]:
    return partial(sink_environment, bindings=manifests.sink_bindings, sinks=Sinks(manifests))
