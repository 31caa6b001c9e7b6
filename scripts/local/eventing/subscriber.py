"""Sending an event to a Service, to another server, or to a Broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from events import CloudEvent, InvalidEvent
from events.http import decode_one
from scripts.local.http import Client, ClientResponse, HttpError
from scripts.local.http.forwarded import forwarded, request_id

from .log import LogRefused
from .record import Header
from .sinks import Sink

MAX_ANSWER_BYTES = 1_048_576
BY_WAY_OF_SERVING = (*forwarded("127.0.0.1"), (b"k-proxy-request", b"activator"))
"""What Knative's ingress and activator add to a delivery, as to any request."""


class Answer(NamedTuple):
    """A whole answer; names of `headers` are in lower case."""

    status: int
    headers: Sequence[Header]
    body: bytes


class Unanswered(Exception):
    """There was no whole answer: no connection, a broken one, or not in time. The text is fit for a log."""


class Subscriber(Protocol):
    """Where deliveries go."""

    async def send(self, sink: Sink, headers: Sequence[Header], body: bytes, timeout_s: float) -> Answer:
        """POST an event in binary mode and wait for the whole answer; `Unanswered`."""


class Services(Protocol):
    """The Services' way in: it starts one that is at zero, and the request waits for that."""

    async def request(
        self,
        service: str,
        method: bytes,
        target: bytes,
        headers: Sequence[Header],
        body: bytes,
        *,
        timeout_s: float | None,
    ) -> ClientResponse:
        """As `Client.request`, to one of the Service's replicas."""


Publish = Callable[[str, CloudEvent], Awaitable[None]]
"""Puts an event into a Broker, `<namespace>/<name>`; `LogRefused`."""


class HttpSubscriber:
    """`Subscriber` over the runner's own way into its Services, and an HTTP client for the rest."""

    def __init__(self, services: Services, client: Client, publish: Publish) -> None:
        self._services = services
        self._client = client
        self._publish = publish

    async def send(self, sink: Sink, headers: Sequence[Header], body: bytes, timeout_s: float) -> Answer:
        """See `Subscriber.send`."""
        if sink.kind == "broker":
            return await self._hand_on(sink, headers, body)
        try:
            if sink.kind == "service":
                response = await self._services.request(
                    sink.name,
                    b"POST",
                    sink.target,
                    (*headers, (b"host", sink.host.encode()), *BY_WAY_OF_SERVING, request_id()),
                    body,
                    timeout_s=timeout_s,
                )
            else:
                response = await self._client.request(
                    b"POST",
                    sink.host,
                    sink.port,
                    sink.target,
                    headers,
                    body,
                    timeout_s=timeout_s,
                    tls=sink.tls,
                )
            whole = response.body_now()
            if whole is None:
                whole = await response.read(MAX_ANSWER_BYTES)
        except HttpError as error:
            raise Unanswered(f"{sink.url} did not answer: {error}") from None
        return Answer(response.status, response.headers, whole)

    async def _hand_on(self, sink: Sink, headers: Sequence[Header], body: bytes) -> Answer:
        try:
            await self._publish(f"{sink.namespace}/{sink.name}", decode_one(headers, body))
        except InvalidEvent as error:
            return Answer(400, (), str(error).encode())
        except LogRefused as error:
            return Answer(503, (), str(error).encode())
        return Answer(202, (), b"")
