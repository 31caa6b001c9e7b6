"""What a function is given, and what it gives back: the two ends of its `service.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from events import CloudEvent
from functions._runtime.errors import Problem
from functions._runtime.http import Response, Route
from functions._runtime.logs import LEVELS, Log
from functions._runtime.metrics import Metrics
from functions._runtime.outbound import HttpClient
from functions._runtime.ports import Clock, Identity, Ids
from functions._runtime.settings import at_least, http_url, variable

EventHandler = Callable[[CloudEvent], Awaitable[CloudEvent | None]]
"""Takes an event of its type; what it returns is the reply that goes back to the broker."""

ProblemRenderer = Callable[[Problem, str], Response]
"""A problem in a surface's own form; the text is the request's id."""


def log_level(text: str) -> str:
    """A parser of `LOG_LEVEL`."""
    if text.lower() not in LEVELS:
        raise ValueError(f"should be one of {', '.join(LEVELS)}")
    return text.lower()


@dataclass(frozen=True, slots=True)
class GroundSettings:
    """What every function reads from the environment.

    Attributes:
        graceful_timeout_s: how long the platform waits between SIGTERM and SIGKILL: the Service's
            `timeoutSeconds`. Answers in progress have it but for its last part, in which the function closes.
        max_body_bytes: longer bodies are refused with 413.
        issuer, audience: who signs the callers' tokens, and for whom.
    """

    log_level: str = variable("LOG_LEVEL", default="info", parse=log_level)
    graceful_timeout_s: int = variable("GRACEFUL_TIMEOUT_S", default=300, parse=at_least(1))
    max_body_bytes: int = variable("MAX_BODY_BYTES", default=10 * 1024 * 1024, parse=at_least(1))
    issuer: str = variable("HADAL_ISSUER", default="http://auth.hadal.svc.cluster.local", parse=http_url)
    audience: str = variable("HADAL_AUDIENCE", default="hadal")


@dataclass(frozen=True, slots=True)
class Ground:
    """What `build` finds.

    Attributes:
        stack: closed when the function stops, after the last answer and the background tasks.
        http: the way out to other servers.
        identity: verifies the callers' tokens with `auth`'s published keys.
    """

    name: str
    settings: GroundSettings
    stack: AsyncExitStack
    clock: Clock
    ids: Ids
    http: HttpClient
    identity: Identity
    metrics: Metrics
    log: Log


@dataclass(frozen=True, slots=True)
class Function:
    """What `build` returns.

    Attributes:
        routes: what it answers besides `/healthz`, `/readyz` and `/metrics`.
        events: a handler for each event type that it takes at `POST /`; `dev.hadal.chat.*` is every type of
            that family which has no handler of its own, also those of later versions of the program.
        background: run from the start to the stop, begun again after a failure; at the stop they are
            cancelled after the last answer, and may use some seconds to finish.
        ready: checks by the name of what they check; each returns or raises a `Problem` that says what is
            missing.
        render: the form of its errors, `application/problem+json` if it has none of its own.
    """

    routes: Sequence[Route] = ()
    events: Mapping[str, EventHandler] = field(default_factory=dict)
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    ready: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    render: ProblemRenderer | None = None
