"""HTTP as a handler sees it: a request with its whole body, and an answer, whole or streamed.

Plain nouns without a web framework behind them; `serving` turns the server's own into these and back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from events import InvalidEvent, jsontext
from functions._runtime.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read under the cap.

    Attributes:
        path_params: what the route's `{name}` parts matched.
        headers: names in lower case; of a repeated name the last value.
        raw_headers: every header as it was sent, names in lower case.
    """

    method: str
    path: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw_headers: Sequence[tuple[bytes, bytes]] = ()

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object.

        Strict by RFC 8259: UTF-8 without a byte order mark, no NaN, no lone surrogates, no name twice in an
        object, at most 1,024 levels.

        Raises:
            BadRequest: it is no such JSON, or no object.
        """
        try:
            value = jsontext.loads(self.body)
        except InvalidEvent as error:
            raise BadRequest(f"{_sentence(error)}; send a JSON object.", code="invalid_json") from None
        if not isinstance(value, dict):
            raise BadRequest(f"The body is a JSON {_kind(value)}; send a JSON object.", code="invalid_json")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: bytes, or chunks that are sent as they come.

    When the client leaves in the middle of a stream, the iterator is closed (`aclose`), so that its `finally`
    runs within a second.
    """

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """`value` as compact JSON."""
        return cls(status, orjson.dumps(value), headers or {}, "application/json")

    @classmethod
    def event_stream(cls, chunks: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
        """Server-sent events (WHATWG HTML 9.2), flushed one by one."""
        return cls(200, chunks, {"cache-control": "no-cache", **(headers or {})}, "text/event-stream")


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path of a function; `{name}` in the path matches one segment.

    Attributes:
        ends_with_client: the handler is cancelled when the client leaves before the answer has begun. Only
            for a handler that may stop anywhere. (A streamed answer is always closed when the client leaves.)
    """

    method: str
    path: str
    handler: Handler
    ends_with_client: bool = False


def _kind(value: object) -> str:
    names = {
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names[type(value)]


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
