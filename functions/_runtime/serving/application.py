"""A function as an ASGI application: probes, routes, errors, one log line and one measurement a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from functions._runtime.errors import MethodNotAllowed, Problem, Unavailable
from functions._runtime.ground import Function, GroundSettings, ProblemRenderer
from functions._runtime.http import Request, Response, Route
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics
from functions._runtime.problems import problem_json
from functions._runtime.routing import Router
from functions._runtime.serving.answering import (
    ClientLeft,
    Receive,
    Scope,
    Send,
    answer,
    body_of,
    headers_of,
    query_of,
    while_client_stays,
)
from functions._runtime.serving.lifecycle import Lifecycle
from functions._runtime.tracing import Trace, current_trace, trace_from

CUT_OFF_S = 3.0
_CLIENT_LEFT = 499  # what nginx writes where there was nobody to answer
_UNMATCHED = "unmatched"


@dataclass(slots=True)
class _Exchange:
    """One request and what became of it."""

    scope: Scope
    receive: Receive
    headers: dict[str, str]
    trace: Trace
    began: float = field(default_factory=time.perf_counter)
    route: str = _UNMATCHED
    status: int = _CLIENT_LEFT
    has_body_pending: bool = True


class Application:
    """Answers every request that reaches the process; nothing but `Problem`s is told to a caller."""

    def __init__(self, settings: GroundSettings, lifecycle: Lifecycle, metrics: Metrics, log: Log) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self._metrics = metrics
        self.log = log
        self._router: Router | None = None
        self._serving = 0
        self._idle = asyncio.Event()
        self._probes: dict[str, Callable[[], Awaitable[Response]]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._figures,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        headers = headers_of(scope)
        exchange = _Exchange(scope, receive, headers, trace_from(headers))
        current_trace.set(exchange.trace)
        self._metrics.started()
        self._serving += 1
        try:
            await self._serve(exchange, send)
        finally:
            self._record(exchange)
            self._serving -= 1
            if self._serving == 0:
                self._idle.set()

    async def close(self) -> None:
        """End the function, when what is still being served (cut off by the server) has ended."""
        self._idle.clear()
        if self._serving:
            try:
                async with asyncio.timeout(CUT_OFF_S):
                    await self._idle.wait()
            except TimeoutError:
                self.log.warning("answers_left_behind", count=self._serving)
        await self.lifecycle.close()

    async def _serve(self, exchange: _Exchange, send: Send) -> None:
        try:
            response = await self._response(exchange)
            exchange.status = response.status
            await answer(response, exchange.trace.request_id, exchange.receive, send)
        except ClientLeft:
            exchange.status = _CLIENT_LEFT
        except asyncio.CancelledError:
            self.log.warning("answer_cut_off_at_the_end_of_the_grace_period")
        except Exception as error:  # noqa: BLE001  the head is out: what is left is to break off
            self.log.error("answer_broke_off", error=error, route=exchange.route)

    async def _response(self, exchange: _Exchange) -> Response:
        """The answer; this is the one place that turns errors into one."""
        render: ProblemRenderer = problem_json
        request_id = exchange.trace.request_id
        try:
            probe = self._probes.get(exchange.scope["path"])
            if probe is not None:
                exchange.route = exchange.scope["path"]
                return await self._probe(exchange, probe)
            function = await self.lifecycle.function()
            render = function.render or problem_json
            response = await self._handled(function, exchange)
        except ClientLeft:
            raise
        except Problem as problem:
            response = render(problem, request_id)
        except asyncio.CancelledError:
            # The server cancels what is left at the end of the grace period, and nothing else does.
            response = render(Unavailable("The server is stopping.", retry_after_s=1), request_id)
        except Exception as error:  # noqa: BLE001  unknown errors end here, and their text goes nowhere
            self.log.error("request_failed", error=error, route=exchange.route)
            response = render(
                Problem("Something went wrong on this side; the log has this request's id."), request_id
            )
        if exchange.has_body_pending and "expect" in exchange.headers:
            # Whether the body still comes can't be known then (RFC 9110, 10.1.1), so the connection can't go
            # on.
            headers = {**response.headers, "connection": "close"}
            return Response(response.status, response.body, headers, response.media_type)
        return response

    async def _handled(self, function: Function, exchange: _Exchange) -> Response:
        scope = exchange.scope
        router = self._router or self._routed(function)
        route, path_params = router.match(scope["method"], scope["raw_path"])
        exchange.route = route.path
        body = await body_of(scope, exchange.headers, exchange.receive, self.settings.max_body_bytes)
        exchange.has_body_pending = False
        request = Request(
            scope["method"],
            scope["path"],
            path_params,
            query_of(scope),
            exchange.headers,
            body,
            scope["headers"],
        )
        if route.ends_with_client:
            return await while_client_stays(_called(route, request), exchange.receive)
        return await route.handler(request)

    def _routed(self, function: Function) -> Router:
        routes = list(function.routes)
        if function.events:
            from functions._runtime.consuming import Consumer  # a start that takes no events is shorter

            routes.append(Route("POST", "/", Consumer(function.events, self._metrics, self.log)))
        self._router = Router(routes)
        return self._router

    async def _probe(self, exchange: _Exchange, probe: Callable[[], Awaitable[Response]]) -> Response:
        if exchange.scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("This path takes GET, HEAD.", allowed=("GET", "HEAD"))
        return await probe()

    async def _alive(self) -> Response:
        return Response.json({"status": "alive"})

    async def _ready(self) -> Response:
        missing = await self.lifecycle.missing()
        if missing:
            return Response.json({"status": "not ready", "missing": missing}, 503, {"retry-after": "1"})
        return Response.json({"status": "ready"})

    async def _figures(self) -> Response:
        return Response(200, self._metrics.text(), media_type=self._metrics.content_type)

    def _record(self, exchange: _Exchange) -> None:
        duration_s = time.perf_counter() - exchange.began
        method = exchange.scope["method"]
        self._metrics.answered(method, exchange.route, exchange.status, duration_s)
        write = self.log.debug if exchange.route in self._probes else self.log.info
        write(
            "request",
            method=method,
            route=exchange.route,
            status=exchange.status,
            duration_ms=round(duration_s * 1e3, 3),
        )


async def _called(route: Route, request: Request) -> Response:
    return await route.handler(request)
