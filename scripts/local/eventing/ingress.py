"""The Brokers' door: `POST /<namespace>/<broker>` with a CloudEvent in any mode (Knative Eventing)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from urllib.parse import urlsplit

from events import EventTooLarge, InvalidEvent
from events.http import decode
from scripts.local.http import BodyTooLarge, Request

from .broker import Broker, HopsUsedUp
from .log import LogRefused

MAX_EVENT_BYTES = 1_048_576
TEXT = (b"content-type", b"text/plain; charset=utf-8")
ALLOW = (b"allow", b"POST, OPTIONS")
# CloudEvents HTTP WebHook, section 4: any origin, at any rate.
WEBHOOK = (ALLOW, (b"webhook-allowed-origin", b"*"), (b"webhook-allowed-rate", b"*"))
RETRY_AFTER = (b"retry-after", b"1")


class Ingress:
    """Answers 202 once the event survives a crash; 400, 404, 405, 413 and 503 say why not."""

    def __init__(self, brokers: Iterable[Broker], max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self.serve(brokers)

    def serve(self, brokers: Iterable[Broker]) -> None:
        """Take events for these from now on."""
        self._brokers = {f"/{broker.name}".encode(): broker for broker in brokers}

    def handle(self, request: Request) -> Awaitable[None] | None:
        """Answer one request; now, or from the log's commit."""
        if request.method != b"POST":
            if request.method == b"OPTIONS":
                request.reply(200, WEBHOOK)
            else:
                _refuse(request, 405, "send events with POST", ALLOW)
            return None
        broker = self._brokers.get(request.target) or self._other_form(request)
        if broker is None:
            return None
        body = request.body_now()
        if body is None:
            return self._when_whole(request, broker)
        self._take(request, broker, body)
        return None

    def _other_form(self, request: Request) -> Broker | None:
        """The Broker of a target with a host, a query or a slash at the end; answers where there is none."""
        path = urlsplit(request.target).path.removesuffix(b"/")
        broker = self._brokers.get(path)
        if broker is None:
            known = ", ".join(sorted(path.decode() for path in self._brokers)) or "none"
            if path.count(b"/") == 2 or not path:
                _refuse(request, 404, f"there is no Broker at this path; there are: {known}")
            else:
                _refuse(request, 400, f"the path is /<namespace>/<broker>; there are: {known}")
        return broker

    async def _when_whole(self, request: Request, broker: Broker) -> None:
        try:
            body = await request.body(self._max_bytes)
        except BodyTooLarge:
            self._too_large(request)
        else:
            self._take(request, broker, body)

    def _take(self, request: Request, broker: Broker, body: bytes) -> None:
        try:
            stored = broker.take(decode(request.headers, body, max_bytes=self._max_bytes))
        except EventTooLarge:
            self._too_large(request)
        except (InvalidEvent, HopsUsedUp) as error:
            _refuse(request, 400, str(error))
        else:
            stored.add_done_callback(lambda future: self._answer(request, future))

    def _answer(self, request: Request, stored: asyncio.Future[None]) -> None:
        error = stored.exception()
        if error is None:
            request.reply(202)
        elif isinstance(error, LogRefused):
            _refuse(request, 503, f"not stored, try again: {error}", RETRY_AFTER)
        else:
            _refuse(request, 500, "not stored: internal error")
            raise error

    def _too_large(self, request: Request) -> None:
        if request.incoming.complete is False:
            request.keep_alive = False  # its rest isn't read
        _refuse(request, 413, f"the event is larger than the {self._max_bytes} bytes allowed")


def _refuse(request: Request, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    request.reply(status, (TEXT, *headers), f"{reason}\n".encode())
