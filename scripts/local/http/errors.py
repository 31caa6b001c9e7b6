"""What can go wrong between two ends of a connection.

HttpError
├── ConnectFailed   no connection: refused, unreachable, or not in time; nothing was sent
├── TimedOut        the exchange took longer than its caller allows
├── BadResponse     the answer is not HTTP, or was cut off before its end
└── BodyTooLarge    a body is over what its reader takes
"""

from __future__ import annotations


class HttpError(Exception):
    """Any failure of an exchange; the text is fit for a log and names the address."""


class ConnectFailed(HttpError):
    """No connection came about, so the request was certainly not seen."""


class TimedOut(HttpError):
    """The time allowed for the exchange is over; the request may have been seen."""


class BadResponse(HttpError):
    """The peer's answer breaks HTTP, or its connection closed before the answer was whole."""


class BodyTooLarge(HttpError):
    """More bytes than the reader allows."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the body is larger than the {max_bytes} bytes allowed")
        self.max_bytes = max_bytes
