"""Which request is being served: the W3C trace context and the request's id, in a context variable.

Source: W3C Trace Context, level 1.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACESTATE_BYTES = 512


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's place in a trace; `span_id` is this process's own span."""

    trace_id: str
    span_id: str
    flags: str
    state: str
    request_id: str

    @property
    def traceparent(self) -> str:
        """The header for what is called on behalf of this request."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def headers(self) -> dict[str, str]:
        """What goes along on every hop."""
        headers = {"traceparent": self.traceparent, "x-request-id": self.request_id}
        if self.state:
            headers["tracestate"] = self.state
        return headers


def trace_from(headers: Mapping[str, str]) -> Trace:
    """The trace that a request's headers belong to (names in lower case), or a new one.

    An event in binary mode brings its trace in `ce-traceparent`: the one that its maker stood in, which goes
    before the broker's own. A request id that could break a log line or a header is replaced.
    """
    sent = headers.get("ce-traceparent") or headers.get("traceparent") or ""
    matched = _TRACEPARENT.fullmatch(sent)
    request_id = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = f"req_{random.getrandbits(128):032x}"
    span_id = f"{random.getrandbits(64) or 1:016x}"
    if not matched:
        return Trace(f"{random.getrandbits(128) or 1:032x}", span_id, "00", "", request_id)
    state = headers.get("ce-tracestate") or headers.get("tracestate") or ""
    return Trace(
        matched[1], span_id, matched[2], state if len(state) <= _TRACESTATE_BYTES else "", request_id
    )


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
