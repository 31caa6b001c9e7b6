"""Where scenarios are tried: what they need of the local runner, and of a cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Manifest = Mapping[str, Any]
NAMESPACE = "hadal-scenarios"
NOT_FOUND = 404


class PlaceError(Exception):
    """The place can't be used, or doesn't do what it must for any scenario; the text says what."""


class CutOff(Exception):
    """An answer ended without its proper end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; names of `headers` are in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        """Its body, read as JSON."""
        return json.loads(self.body)


class Response(Protocol):
    """An answer whose head has come."""

    status: int

    def pieces(self) -> AsyncIterator[bytes]:
        """Its body as it comes; `CutOff`."""

    async def whole(self) -> Answer:
        """All of it; `CutOff`."""


class Place(Protocol):
    """The runner or a cluster. Services and Brokers are known by their names in `NAMESPACE`.

    Attributes:
        name: `runner` or `cluster`.
        broker_classes: those that it has.
        at_once: how many scenarios it bears at the same time.
        patience_s: how long it may take for anything; a scenario that waits longer has failed.
    """

    name: str
    broker_classes: frozenset[str]
    at_once: int
    patience_s: float

    async def apply(self, manifests: Sequence[Manifest], *, ready: bool = True) -> None:
        """Create or change objects; `ready`: wait until they say that they are. `PlaceError`."""

    async def delete(self, manifests: Sequence[Manifest]) -> None:
        """Remove objects; those that aren't there are no matter."""

    def request(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[Response]:
        """Ask a Service from outside; `service` may be `TAG-NAME`. `CutOff` where no answer comes."""

    async def post_event(self, broker: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send an event to a Broker's ingress; the status that it answers."""

    async def replicas(self, service: str) -> int:
        """How many processes the Service has, those on their way out not counted."""

    async def terminate(self, service: str) -> None:
        """Ask the Service's processes to end, as a node that is emptied does: SIGTERM, and time."""

    async def logs(self, service: str) -> str:
        """What its processes wrote, for the person who looks for a fault."""
