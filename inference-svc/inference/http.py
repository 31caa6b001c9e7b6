"""HTTP in and out: bodies as JSON objects, answers, event streams, and the one place that renders errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from inference.errors import (
    InferenceError,
    InternalError,
    MalformedBodyError,
    MethodNotAllowedError,
    PayloadTooLargeError,
    UnknownRouteError,
)
from inference.json_fields import JsonFields
from inference.metrics import Metrics

KEEP_ALIVE_S = 15.0  # as TGI: a comment in an idle stream, so that nobody between closes it
_HTTP_ERRORS = {404: UnknownRouteError, 405: MethodNotAllowedError}
_GENERATING = {
    ("POST", path)
    for path in (
        "/",
        "/generate",
        "/generate_stream",
        "/invocations",
        "/v1/chat/completions",
        "/v1/completions",
    )
}
_FAILED = web.RequestKey("hadal.failed", bool)  # its stream has ended in an error
_log = logging.getLogger(__name__)


async def read_fields(request: web.Request) -> JsonFields:
    """Read the body as a JSON object.

    Raises:
        MalformedBodyError: it isn't JSON, or not encoded as its headers say.
        PayloadTooLargeError: it is larger than the limit.
        ValidationError: it is JSON, but no object.
    """
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise PayloadTooLargeError(f"the body is larger than {request.client_max_size} bytes") from error
    except web.RequestPayloadError as error:
        raise MalformedBodyError("the body is not encoded as `Content-Encoding` says") from error
    try:
        return JsonFields.of(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from error


def json_answer(value: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """A 200 with a JSON body."""
    return web.Response(body=orjson.dumps(value), content_type="application/json", headers=headers)


def as_inference_error(error: Exception) -> InferenceError:
    """The error that a caller may see: theirs as it is, any other as an internal one, its text logged."""
    if isinstance(error, InferenceError):
        return error
    _log.error("a request failed unexpectedly", exc_info=error)
    return InternalError("the service failed to answer this request; its log says why")


def _error_answer(error: InferenceError) -> web.Response:
    headers = {"Retry-After": "1"} if error.status in {429, 503} else None
    return web.Response(
        status=error.status, body=error.body(), content_type="application/json", headers=headers
    )


def error_middleware(metrics: Metrics) -> Middleware:
    """Render every error in TGI's form; count the requests to generate, and how each of them ended."""

    @web.middleware
    async def render(request: web.Request, handler: Handler) -> web.StreamResponse:
        generates = (request.method, request.path) in _GENERATING
        if generates:
            metrics.request()
        try:
            response = await handler(request)
            if generates and not request.get(_FAILED):
                metrics.success()
            return response
        except web.HTTPException as error:
            if error.status not in _HTTP_ERRORS:
                raise
            where = f"{request.method} {request.path}"
            return _error_answer(_HTTP_ERRORS[error.status](f"there is no {where}"))
        except ConnectionResetError:
            raise  # the client has left: nobody to answer
        except Exception as error:  # noqa: BLE001 (the one place that renders errors)
            known = as_inference_error(error)
            if generates:
                metrics.failure(known)
            return _error_answer(known)

    return render


class EventStream:
    """Server-sent events (WHATWG HTML 9.2) to one client, flushed one by one."""

    def __init__(self, response: web.StreamResponse, prefix: bytes) -> None:
        self._response = response
        self._prefix = prefix
        self.sent_events = 0

    async def send(self, value: object) -> None:
        """Send one event with JSON data."""
        await self.send_data(orjson.dumps(value))

    async def send_data(self, data: bytes) -> None:
        """Send one event with data of one line. Waits while the client doesn't read."""
        self.sent_events += 1
        await self._response.write(self._prefix + data + b"\n\n")

    async def keep_alive(self, interval_s: float) -> None:
        """Send a comment after each interval without an event."""
        while True:
            sent_before = self.sent_events
            await asyncio.sleep(interval_s)
            if self.sent_events == sent_before:
                await self._response.write(b":\n\n")


@asynccontextmanager
async def event_stream(
    request: web.Request,
    metrics: Metrics,
    *,
    openai: bool,
    headers: Mapping[str, str],
    keep_alive_s: float = KEEP_ALIVE_S,
) -> AsyncIterator[tuple[EventStream, web.StreamResponse]]:
    """Open a stream of events; an error inside the block becomes its last event.

    TGI's own routes write `data:{json}`, the OpenAI routes `data: {json}` and end with `data: [DONE]` (which
    is sent only when the block has ended well).
    """
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )
    response.headers.update(headers)
    await response.prepare(request)
    stream = EventStream(response, b"data: " if openai else b"data:")
    heartbeat = asyncio.create_task(stream.keep_alive(keep_alive_s))
    try:
        yield stream, response
        if openai:
            await stream.send_data(b"[DONE]")
    except ConnectionResetError:
        raise  # the client has left: nobody to answer
    except Exception as error:  # noqa: BLE001 (this stream's part of rendering errors)
        known = as_inference_error(error)
        request[_FAILED] = True
        metrics.failure(known)
        await stream.send_data(known.openai_event() if openai else known.body())
    finally:
        heartbeat.cancel()
    await response.write_eof()
