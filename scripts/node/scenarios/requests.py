"""A request on its way to a function: who may ask, what the function is told, how long it may take."""

from __future__ import annotations

import time

from .objects import service
from .place import NAMESPACE
from .scenario import Observation, Scenario
from .stage import Stage, between, joined

VISIBILITY = "networking.knative.dev/visibility"
TIMEOUT_S = 2
CUT = (2.0, 4.0)


async def cluster_local(stage: Stage) -> Observation:
    """A Service for those inside, asked from outside and by another."""
    inner, asker = stage.named("inner"), stage.named("asker")
    await stage.apply(service(inner, labels={VISIBILITY: "cluster-local"}), service(asker))
    hosts = [f"{inner}.{NAMESPACE}.svc.cluster.local", f"{inner}.{NAMESPACE}.svc", f"{inner}.{NAMESPACE}"]
    inside = [(await stage.ask(asker, f"/call?url=http://{host}/who")).json()["status"] for host in hosts]
    return {"outside": (await stage.ask(inner, "/who")).status, "inside, by three forms of its name": inside}


async def headers(stage: Stage) -> Observation:
    """What comes with a request, beside what the client said."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    fields = dict((await stage.ask(probe, "/headers", {"x-own": "kept"})).json())
    host = fields.get("host", "").startswith(f"{probe}.{NAMESPACE}.")
    return {
        "host": "the Service's name outside" if host else fields.get("host"),
        **{name: fields.get(name) for name in ("x-own", "k-proxy-request", "x-forwarded-proto")},
        **{
            name: "there" if name in fields else None
            for name in ("forwarded", "x-forwarded-for", "x-request-id")
        },
    }


async def timeout(stage: Stage) -> Observation:
    """Answers that take longer than `timeoutSeconds`: one that hasn't begun, and a stream."""
    probe = stage.named("probe")
    await stage.apply(service(probe, timeoutSeconds=TIMEOUT_S))
    await stage.warm(probe)
    began_s = time.monotonic()
    slow = await stage.ask(probe, "/sleep?s=8")
    slow_s, began_s = time.monotonic() - began_s, time.monotonic()
    async with stage.open(probe, "/stream?s=8") as stream:
        text = await joined(stream.pieces())
    stream_s = time.monotonic() - began_s
    return {
        "not begun": f"{slow.status} {between(slow_s, *CUT)}",
        "a stream": f"{stream.status}, {_ending(text)} {between(stream_s, *CUT)}",
    }


def _ending(text: str) -> str:
    if text.endswith("(cut off)"):
        return "cut off"
    return "ended, its last words `request timeout`," if text.endswith("request timeout") else "whole"


SCENARIOS = (
    Scenario(
        "cluster-local",
        "A Service with the label `cluster-local`.",
        cluster_local,
        {"outside": 404, "inside, by three forms of its name": [200, 200, 200]},
    ),
    Scenario(
        "request headers",
        "What a function is told with a request from outside.",
        headers,
        {
            "host": "the Service's name outside",
            "x-own": "kept",
            "k-proxy-request": "activator",
            "x-forwarded-proto": "http",
            "forwarded": "there",
            "x-forwarded-for": "there",
            "x-request-id": "there",
        },
    ),
    Scenario(
        "timeout",
        "`timeoutSeconds: 2`, and answers that take eight.",
        timeout,
        {
            "not begun": "504 between 2 and 4 s",
            "a stream": "200, ended, its last words `request timeout`, between 2 and 4 s",
        },
        runner={"not begun": "504 between 2 and 4 s", "a stream": "200, cut off between 2 and 4 s"},
        why="a cluster writes words of its own into a stream that has begun and ends it as if it were whole; "
        "here the connection is cut, so that a client can tell",
        timed=True,
    ),
)
