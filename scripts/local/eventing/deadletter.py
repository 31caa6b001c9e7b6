"""A dead letter as its sink gets it (Knative: Delivery, "Configuring dead letter sink" extensions)."""

from __future__ import annotations

import base64

from events import CloudEvent
from events.http import to_binary

from .log import Failure
from .record import Header

ERROR_HEADERS = frozenset((b"ce-knativeerrordest", b"ce-knativeerrorcode", b"ce-knativeerrordata"))


def as_dead_letter(headers: tuple[Header, ...], failure: Failure, data_bytes: int) -> tuple[Header, ...]:
    """The event's headers with where it failed, and code and `data_bytes` (base64) of the answer it got."""
    kept = [header for header in headers if header[0] not in ERROR_HEADERS]
    extensions: dict[str, str | int | bool | bytes] = {}
    if failure.destination is not None:
        extensions["knativeerrordest"] = failure.destination
    if failure.code is not None:
        extensions["knativeerrorcode"] = failure.code
        if failure.data:
            extensions["knativeerrordata"] = base64.b64encode(failure.data[:data_bytes]).decode()
    added, _ = to_binary(CloudEvent("-", "-", "-", extensions=extensions))
    return (*kept, *(header for header in added if header[0] in ERROR_HEADERS))
