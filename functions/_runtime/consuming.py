"""Events as the broker brings them: decoded strictly, handled, answered so that the broker understands.

| what became of it | answer | the broker |
|---|---|---|
| handled | 204, or 200 with the reply event | is done |
| a type that no handler takes | 204, counted as ignored | is done |
| no valid event | 400 (413 where it is too long), saying why | gives up: dead letter |
| refused for good: `Unprocessable`, or data that breaks the fact's schema | 422 | gives up: dead letter |
| anything else | 503 | tries again |

Never 404, 409 or 429: the broker would try those again (Knative Eventing, delivery).
"""

from __future__ import annotations

from collections.abc import Mapping

from events import CloudEvent, InvalidEvent, UnknownFact
from events import http as events_http
from events.errors import EventTooLarge
from functions._runtime.errors import BadRequest, PayloadTooLarge, Problem, Unavailable, Unprocessable
from functions._runtime.ground import EventHandler
from functions._runtime.http import Request, Response
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics

EVENT_LIMIT_BYTES = 1024 * 1024
_OTHER = "other"


class Consumer:
    """The handler of `POST /`: one event a request, in binary or structured mode."""

    def __init__(self, handlers: Mapping[str, EventHandler], metrics: Metrics, log: Log) -> None:
        self._handlers = handlers
        self._metrics = metrics
        self._log = log

    async def __call__(self, request: Request) -> Response:
        """Handle the event in `request`; see the table above."""
        event = self._decoded(request)
        name = self._name(event.type)
        handler = self._handlers.get(name)
        if handler is None:
            self._metrics.event(_OTHER, "ignored")
            return Response(204)
        try:
            reply = await handler(event)
        except UnknownFact:
            self._metrics.event(name, "ignored")
            return Response(204)
        except (Unprocessable, InvalidEvent) as refusal:
            self._metrics.event(name, "refused")
            message = refusal.message if isinstance(refusal, Problem) else str(refusal)
            self._log.warning("event_refused", type=event.type, event_id=event.id, code=_code(refusal))
            raise Unprocessable(message, code=_code(refusal)) from None
        except Exception as failure:  # any other failure may pass: the broker keeps the event and tries again
            self._metrics.event(name, "failed")
            if isinstance(failure, Unavailable):
                raise
            self._log.error("event_failed", error=failure, type=event.type, event_id=event.id)
            raise Unavailable("The event couldn't be handled now.") from None
        self._metrics.event(name, "acknowledged" if reply is None else "replied")
        return Response(204) if reply is None else _answer(reply)

    def _name(self, event_type: str) -> str:
        """Under which name the type has its handler: its own, or its family's."""
        return event_type if event_type in self._handlers else event_type.rsplit(".", 2)[0] + ".*"

    def _decoded(self, request: Request) -> CloudEvent:
        try:
            return events_http.decode_one(request.raw_headers, request.body, max_bytes=EVENT_LIMIT_BYTES)
        except InvalidEvent as error:
            self._metrics.event(_OTHER, "invalid")
            kind = PayloadTooLarge if isinstance(error, EventTooLarge) else BadRequest
            raise kind(str(error), code="invalid_event", param=error.attribute) from None


def _code(refusal: Unprocessable | InvalidEvent) -> str:
    return refusal.code if isinstance(refusal, Problem) else "invalid_event"


def _answer(reply: CloudEvent) -> Response:
    headers, body = events_http.to_binary(reply)
    return Response(200, body, {name.decode(): value.decode() for name, value in headers})
