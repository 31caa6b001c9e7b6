"""A scenario's own corner of a place: its objects bear its name, and go when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from .place import Answer, CutOff, Manifest, Place, Response

Found = TypeVar("Found")
LOOK_EVERY_S = 0.1
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Received:
    """An event as the probe got it, and what it answered."""

    label: str
    at_s: float
    headers: Mapping[str, str]
    body: str
    answer: str

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["ce-id"]

    def attribute(self, name: str) -> str | None:
        """An attribute of the event."""
        return self.headers.get(f"ce-{name}")


class NeverSeen(Exception):
    """What a scenario waits for didn't come; the text says what was there last."""


class Stage:
    """What a scenario does with its place."""

    def __init__(self, place: Place, prefix: str, broker_class: str) -> None:
        self.place = place
        self.broker_class = broker_class
        self._prefix = prefix
        self._applied: dict[tuple[str, str], Manifest] = {}

    def named(self, what: str) -> str:
        """A name of the scenario's own."""
        return f"{self._prefix}-{what}"

    async def apply(self, *manifests: Manifest, ready: bool = True) -> None:
        """Create or change objects."""
        self._applied |= {(str(each["kind"]), each["metadata"]["name"]): each for each in manifests}
        await self.place.apply(manifests, ready=ready)

    async def clear(self) -> None:
        """Remove all of them."""
        await self.place.delete(list(self._applied.values()))

    @property
    def services(self) -> list[str]:
        """Its Services' names."""
        return [name for kind, name in self._applied if kind == "Service"]

    def open(self, service: str, path: str) -> AbstractAsyncContextManager[Response]:
        """GET, to be read piece by piece."""
        return self.place.request(service, "GET", path, {}, b"")

    async def ask(
        self, service: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """GET, or POST where there is a body; the whole answer. `CutOff`."""
        method = "POST" if body else "GET"
        async with self.place.request(service, method, path, headers or {}, body) as response:
            return await response.whole()

    async def who(self, service: str) -> Any:
        """Which process answers; `CutOff` where none does."""
        answer = await self.ask(service, "/who")
        if answer.status != 200:
            raise CutOff(f"{service} answered {answer.status}: {answer.body[:200]!r}")
        return answer.json()

    async def warm(self, service: str) -> Any:
        """As `who`, from its first answer on: what comes next finds a process."""
        return await self.until(lambda: self.who(service), f"{service} to answer")

    async def post(self, broker: str, ident: str, kind: str = "a.b.c", **extensions: str) -> int:
        """Send an event to a Broker."""
        identity = {"specversion": "1.0", "id": ident, "source": "/scenario", "type": kind, **extensions}
        headers = {f"ce-{name}": value for name, value in identity.items()} | {"content-type": JSON}
        return await self.place.post_event(broker, headers, b'{"a": 1}')

    async def record(self, service: str, label: str | None = None) -> list[Received]:
        """The events that the probe got, under a label or under any."""
        answer = await self.ask(service, "/record")
        if answer.status != 200:
            raise CutOff(f"{service} answered {answer.status}: {answer.body[:200]!r}")
        return [Received(**row) for row in answer.json() if label in (None, row["label"])]

    async def recorded(
        self, service: str, enough: Callable[[list[Received]], object], what: str
    ) -> list[Received]:
        """The events, once there are enough."""

        async def look() -> list[Received] | None:
            got = await self.record(service)
            return got if enough(got) else None

        return await self.until(look, what)

    async def until(self, look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
        """Wait for a condition. `NeverSeen`."""
        trouble = "nothing"
        try:
            async with asyncio.timeout(self.place.patience_s):
                while True:
                    try:
                        if found := await look():
                            return found
                    except CutOff as error:
                        trouble = str(error)
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NeverSeen(
                f"waited {self.place.patience_s:g} s for {what}; last trouble: {trouble}"
            ) from None

    async def until_replicas(self, service: str, right: Callable[[int], bool], what: str) -> int:
        """Wait for a number of processes."""

        async def look() -> tuple[int] | None:
            count = await self.place.replicas(service)
            return (count,) if right(count) else None

        return (await self.until(look, what))[0]

    async def until_zero(self, service: str) -> None:
        """Wait until it has no process."""
        await self.until_replicas(service, lambda count: count == 0, f"{service} to be at zero")


async def joined(pieces: AsyncIterator[bytes]) -> str:
    """All of a stream that comes before its end, proper or not."""
    text = ""
    try:
        async for piece in pieces:
            text += piece.decode()
    except CutOff:
        text += "(cut off)"
    return text


def between(seconds: float, least_s: float, most_s: float) -> str:
    """A time as its class."""
    if least_s <= seconds <= most_s:
        return f"between {least_s:g} and {most_s:g} s"
    return f"{seconds:.1f} s, not between {least_s:g} and {most_s:g}"
