"""`Publisher` to a Knative Broker's ingress, as a SinkBinding says it: `K_SINK`, `K_CE_OVERRIDES`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from events import CloudEvent, InvalidEvent
from events import http as events_http
from functions._runtime.errors import Problem, Unavailable, Unprocessable
from functions._runtime.outbound import HttpClient

PUBLISH_TIMEOUT_S = 10.0
REFUSED_FOR_GOOD = frozenset((400, 413, 415, 422))
"""What is said of the event, and not of the moment or of the address."""


def overrides(text: str) -> Mapping[str, str]:
    """A parser of `K_CE_OVERRIDES`: the extensions that are set on every event."""
    try:
        document: Any = orjson.loads(text)
        extensions = document.get("extensions") or {}
        CloudEvent(id="1", source="/", type="t").extended(**extensions)
    except (orjson.JSONDecodeError, AttributeError, TypeError, InvalidEvent):
        raise ValueError('should be like {"extensions": {"name": "value"}}') from None
    return dict(extensions)


class BrokerPublisher:
    """Posts events in binary mode; the broker has one when it answers 202 (or another 2xx)."""

    def __init__(self, http: HttpClient, sink: str, extensions: Mapping[str, str]) -> None:
        self._http = http
        self._sink = sink
        self._extensions = extensions

    async def publish(self, event: CloudEvent) -> None:
        """Return when the broker has stored the event; see the port."""
        if self._extensions:
            event = event.extended(**self._extensions)
        headers, body = events_http.to_binary(event)
        named = {name.decode("ascii"): value.decode("ascii") for name, value in headers}
        try:
            answer = await self._http.request(
                "POST", self._sink, headers=named, body=body, timeout_s=PUBLISH_TIMEOUT_S
            )
        except Problem as problem:
            raise Unavailable("The broker can't be reached.", retry_after_s=problem.retry_after_s) from None
        if answer.status in REFUSED_FOR_GOOD:
            raise Unprocessable(f"The broker answered {answer.status}: it takes no such event.")
        if not 200 <= answer.status < 300:
            raise Unavailable(
                f"The broker answered {answer.status}.", code=f"broker_answered_{answer.status}"
            )
