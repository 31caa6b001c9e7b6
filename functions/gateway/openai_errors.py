"""Errors in OpenAI's form, in this one place: our own, and those of the servers behind us.

Text of a server behind us is passed on only if it was written for the caller: a problem of one of our
functions, or the model service's word on a request that it can't accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from functions._runtime.errors import Problem
from functions._runtime.http import Response

_LONGEST_MESSAGE_CHARACTERS = 1_000
_CODES = {
    "invalid_request": None,
    "invalid_json": None,
    "invalid_credential": "invalid_api_key",
    "missing_credential": None,
    "expired_credential": "invalid_api_key",
    "unknown_path": "unknown_url",
    "method_not_allowed": "method_not_supported",
    "rate_limited": "rate_limit_exceeded",
    "internal_error": None,
    "bad_gateway": "upstream_error",
}
_REFUSED_BY_MODEL = {
    "validation",
    "batch size exceeded",
    "template_error",
    "tool_error",
    "invalid_request_error",
    "badrequesterror",
}
_UNAVAILABLE = (503, "The server is overloaded or not ready yet; try again.", "unavailable")
_BY_STATUS = {
    404: (404, "The model service doesn't have this model.", "model_not_found"),
    413: (413, "The request is too large for the model.", "payload_too_large"),
    429: _UNAVAILABLE,
    503: _UNAVAILABLE,
    504: _UNAVAILABLE,
}
_FAILED = (502, "The model service failed to answer this request.", "upstream_error")


def rendered(problem: Problem, _request_id: str) -> Response:
    """A problem of our own for the caller."""
    body = error_body(problem.status, problem.message, problem.code, problem.param)
    return Response.json(body, problem.status, problem.headers)


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """`{"error": …}` with the `type` and `code` that OpenAI uses with `status`."""
    code = _CODES.get(code, code) if code else None
    return {"error": {"message": message, "type": _type(status), "param": param, "code": code}}


def error_event(body: Mapping[str, Any]) -> bytes:
    """An error as a server-sent event, which ends a stream in the place of `[DONE]`."""
    return b"data: %s\n\n" % orjson.dumps(body)


def of_function(status: int, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body for an error of one of our functions (RFC 9457): its text was written for callers."""
    problem = _object(body)
    message = problem.get("detail")
    if not isinstance(message, str) or status < 400:
        return 502, error_body(502, "A server behind this one failed to answer this request.", "bad_gateway")
    status = 400 if status == 422 else status
    return status, error_body(status, message, _text(problem.get("code")), _text(problem.get("param")))


def event_of_function(data: bytes) -> bytes:
    """The error event of one of our functions, which is in OpenAI's form already."""
    return b"data: %s\n\n" % data


def of_model_service(status: int, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body for an error of the model service.

    It is TGI's (`{"error": text, "error_type"}`), or OpenAI's own form, or anything.
    """
    if status in (400, 422):
        message, code, param = _refusal(_object(body))
        return 400, error_body(400, message, code, param)
    status, message, code = _BY_STATUS.get(status, _FAILED)
    return status, error_body(status, message, code)


def event_of_model_service(data: bytes) -> bytes:
    """The event for an error in the middle of the model service's stream."""
    error = _object(data)["error"]
    status = error.get("http_status_code", error.get("code")) if isinstance(error, dict) else None
    return error_event(of_model_service(status if isinstance(status, int) else 500, data)[1])


def _refusal(document: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Message, code and param of a request that the model service can't accept."""
    error = document.get("error")
    if not isinstance(error, dict):
        error = {"message": error, "type": document.get("error_type")}
    message, kind = error.get("message"), error.get("type")
    if not (isinstance(message, str) and isinstance(kind, str) and kind.lower() in _REFUSED_BY_MODEL):
        return "The model can't accept this request.", None, None
    return _printable(message), _text(error.get("code")), _text(error.get("param"))


def _type(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _printable(message: str) -> str:
    return "".join(
        each for each in message[:_LONGEST_MESSAGE_CHARACTERS] if each.isprintable() or each == "\n"
    )
