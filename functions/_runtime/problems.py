"""`application/problem+json` (RFC 9457): the form of errors where a surface has no form of its own."""

from __future__ import annotations

from typing import Any

import orjson

from functions._runtime.errors import Problem
from functions._runtime.http import Response

PROBLEM_JSON = "application/problem+json"


def problem_json(problem: Problem, request_id: str) -> Response:
    """`problem` for the caller; nothing else of an error leaves the process."""
    return Response(problem.status, problem_document(problem, request_id), problem.headers, PROBLEM_JSON)


def problem_document(problem: Problem, request_id: str) -> bytes:
    """The JSON text of it."""
    document: dict[str, Any] = {
        "type": f"urn:hadal:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.message,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.param is not None:
        document["param"] = problem.param
    return orjson.dumps(document)
