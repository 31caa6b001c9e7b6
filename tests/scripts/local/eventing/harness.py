"""A whole Broker on loopback with subscribers that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local.eventing import Eventing
from scripts.local.http import Client, ClientResponse, Request, Server, serve
from scripts.local.manifests.model import (
    Broker,
    Delivery,
    Destination,
    Filter,
    Manifests,
    Service,
    SourceLocation,
    Trigger,
)

HERE = SourceLocation("eventing/test.yaml", 7)
WAIT_S = 20.0
SOON = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=0.005, timeout_s=5.0)
"""Four tries within 30 ms."""

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]
ANY_EVENT: dict[str, str] = {"specversion": "1.0", "id": "1", "source": "/test", "type": "dev.hadal.test.v1"}


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery as the subscriber saw it."""

    headers: dict[str, str]
    body: bytes
    target: str

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["ce-id"]

    def attribute(self, name: str) -> str | None:
        """An attribute of the event."""
        return self.headers.get(f"ce-{name}")


@dataclass(slots=True)
class Receiver:
    """A subscriber. `answer` gives status, headers and body, at once or when it is done waiting."""

    answer: Callable[[Received], Reply | Awaitable[Reply]] = lambda received: taken(received)
    received: list[Received] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: Request) -> None:
        """Note a delivery and answer it."""
        headers = {name.decode(): value.decode() for name, value in request.headers}
        delivery = Received(headers, await request.body(10_000_000), request.target.decode())
        self.received.append(delivery)
        answer = self.answer(delivery)
        status, fields, body = answer if isinstance(answer, tuple) else await answer
        request.reply(status, fields, body)

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in order."""
        return [delivery.id for delivery in self.received]

    @property
    def destination(self) -> Destination:
        """As a manifest names it."""
        return Destination(HERE, uri=f"http://127.0.0.1:{self.port}/")

    async def until(self, count: int) -> list[Received]:
        """Wait for `count` deliveries."""
        await eventually(lambda: len(self.received) >= count, f"{count} deliveries, not {len(self.received)}")
        return self.received


def taken(_: Received) -> Reply:
    """A subscriber that takes everything."""
    return 204, [], b""


def status(code: int, body: bytes = b"") -> Callable[[Received], Reply]:
    """A subscriber that always answers the same."""
    return lambda _: (code, [], body)


@asynccontextmanager
async def receiving(
    answer: Callable[[Received], Reply | Awaitable[Reply]] = taken,
) -> AsyncIterator[Receiver]:
    """A subscriber that listens."""
    receiver = Receiver(answer)
    server = await serve(receiver.handle, "127.0.0.1", 0)
    receiver.port = server.port
    try:
        yield receiver
    finally:
        await server.close()


class Services:
    """The runner's Services, each a receiver."""

    def __init__(self, **ports: int) -> None:
        self._ports = ports
        self._client = Client()

    async def request(
        self,
        service: str,
        method: bytes,
        target: bytes,
        headers: Any,
        body: bytes,
        *,
        timeout_s: float | None,
    ) -> ClientResponse:
        """To the replica."""
        return await self._client.request(
            method, "127.0.0.1", self._ports[service], target, headers, body, timeout_s=timeout_s
        )


@dataclass(slots=True)
class Running:
    """A Broker that runs."""

    eventing: Eventing
    server: Server
    client: Client

    async def post(
        self,
        path: str = "/hadal/default",
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Send an event in binary mode, or whatever `headers` say; the answer's status, headers and text."""
        if headers is None:
            event = ANY_EVENT | dict(attributes or {})
            headers = {f"ce-{name}": value for name, value in event.items()}
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = await self.client.request(
            b"POST", "127.0.0.1", self.server.port, path.encode(), fields, body
        )
        text = (await response.read(100_000)).decode()
        return response.status, {name.decode(): value.decode() for name, value in response.headers}, text

    async def store(self, *ids: str, **attributes: str) -> None:
        """Send an event for each id; each must be taken."""
        for ident in ids:
            code, _, text = await self.post(attributes=attributes | {"id": ident})
            assert code == 202, text

    async def idle(self) -> None:
        """Wait until every Trigger has done everything."""
        await eventually(lambda: not any(one.lag for one in self.eventing.lag()), "every Trigger to be done")


@asynccontextmanager
async def running(
    folder: Path, manifests: Manifests, services: Services | None = None, **options: Any
) -> AsyncIterator[Running]:
    """A Broker between its start and its stop."""
    eventing = Eventing(manifests, folder, services or Services(), **options)
    await eventing.start()
    server = await serve(eventing.handle, "127.0.0.1", 0)
    client = Client()
    try:
        yield Running(eventing, server, client)
    finally:
        await client.close()
        await server.close()
        await eventing.stop(grace_s=0.1)


def trigger(name: str, subscriber: Destination, **more: Any) -> Trigger:
    """A Trigger of the Broker `default`."""
    return Trigger(name=name, namespace="hadal", where=HERE, broker="default", subscriber=subscriber, **more)


def broker(klass: str = "Kafka", delivery: Delivery = SOON, name: str = "default") -> Broker:
    """A Broker whose retries are quick."""
    return Broker(name, "hadal", HERE, klass, delivery)


def service(name: str) -> Service:
    """A Service that is only a name."""
    return Service(name, "hadal", HERE, "dev.local/none", ("true",))


def manifests(*triggers: Trigger, klass: str = "Kafka", delivery: Delivery = SOON, **more: Any) -> Manifests:
    """One Broker, `default`, with these Triggers."""
    return Manifests(brokers=(broker(klass, delivery),), triggers=triggers, **more)


def filters(*described: dict[str, Any]) -> tuple[Filter, ...]:
    """`spec.filters` as the loader gives them: `{"not": {"exact": {"type": "x"}}}` and so on."""
    return tuple(_filter(one, f"spec.filters[{place}]") for place, one in enumerate(described))


def _filter(described: dict[str, Any], path: str) -> Filter:
    ((dialect, argument),) = described.items()
    path = f"{path}.{dialect}"
    if dialect in ("all", "any"):
        argument = tuple(_filter(one, f"{path}[{place}]") for place, one in enumerate(argument))
    elif dialect == "not":
        argument = _filter(argument, path)
    return Filter(dialect, argument, HERE, path)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  any condition will do here
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited for {what}") from None
