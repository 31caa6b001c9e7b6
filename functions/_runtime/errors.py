"""What can go wrong, as callers see it.

    Problem                      500
    ├── BadRequest               400   the request can't be understood
    ├── Unauthorized             401   no credential, or one that isn't good
    ├── Forbidden                403   a good credential without the right
    ├── NotFound                 404   absent, or not the caller's to see: the two look the same
    ├── MethodNotAllowed         405   the path is there, with other methods
    ├── RequestTimeout           408   the rest of the request didn't come
    ├── Conflict                 409   against the present state
    │   └── VersionConflict            another writer was first
    ├── PayloadTooLarge          413
    ├── UriTooLong               414
    ├── Unprocessable            422   understood, and refused for good
    ├── TooManyRequests          429
    ├── HeadersTooLarge          431
    ├── BadGateway               502   a server behind us answered wrongly
    └── Unavailable              503   passing: try again after `retry_after_s`

A message is written for the caller: what was wrong, where, and what would be right. It is the only text of an
error that leaves the process; the text of any other exception stays inside. Surfaces render these in their
own form (`application/problem+json` by RFC 9457, OpenAI's `{"error": …}`), each in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar


class Problem(Exception):
    """Something went wrong in a way that the caller may know about.

    Attributes:
        status: the HTTP status code.
        code: a short machine-readable name, stable over versions.
        retryable: whether the same call may succeed later.
        param: the field of the request at fault, where there is one.
        retry_after_s: when to try again, for the `Retry-After` header; a 429 and a 503 always say it.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    retryable: ClassVar[bool] = False
    usual_retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after_s = self.usual_retry_after_s if retry_after_s is None else retry_after_s

    @property
    def title(self) -> str:
        """The status code's standard phrase (RFC 9110)."""
        return HTTPStatus(self.status).phrase

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an answer with this problem bears, whatever its form."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}


class BadRequest(Problem):
    """The request can't be understood."""

    status, code = 400, "invalid_request"


class Unauthorized(Problem):
    """There is no credential, or it isn't good."""

    status, code = 401, "invalid_credential"


class Forbidden(Problem):
    """The credential is good and doesn't give this right."""

    status, code = 403, "forbidden"


class NotFound(Problem):
    """Nothing here that this caller may see."""

    status, code = 404, "not_found"


class MethodNotAllowed(Problem):
    """The path is there and takes the methods `allowed`."""

    status, code = 405, "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)

    @property
    def headers(self) -> dict[str, str]:
        """`Allow` (RFC 9110, 10.2.1)."""
        return {"allow": ", ".join(self.allowed)}


class RequestTimeout(Problem):
    """The rest of the request didn't come in time."""

    status, code, retryable = 408, "request_timeout", True


class Conflict(Problem):
    """The request is against the present state."""

    status, code = 409, "conflict"


class VersionConflict(Conflict):
    """Another writer was first: read again and decide again."""

    code = "version_conflict"
    retryable = True


class PayloadTooLarge(Problem):
    """The body is over the limit."""

    status, code = 413, "payload_too_large"


class UriTooLong(Problem):
    """The request's target is over the limit."""

    status, code = 414, "uri_too_long"


class Unprocessable(Problem):
    """Understood, and refused for good: on an event path this is the answer that isn't tried again."""

    status, code = 422, "unprocessable"


class TooManyRequests(Problem):
    """The caller is over a limit."""

    status, code, retryable = 429, "rate_limited", True
    usual_retry_after_s = 1


class HeadersTooLarge(Problem):
    """The request's header is over the limit."""

    status, code = 431, "headers_too_large"


class BadGateway(Problem):
    """A server behind this one answered wrongly."""

    status, code, retryable = 502, "bad_gateway", True


class Unavailable(Problem):
    """Not now: a dependency is away, or the server is stopping."""

    status, code, retryable = 503, "unavailable", True
    usual_retry_after_s = 1
