"""Why a request didn't reach a Service.

HttpError (scripts.local.http)
├── NoSuchService   nothing of that name is served
├── NoReplica       no process takes the request: it can't start, or too many wait
└── (ConnectFailed, TimedOut, BadResponse of the exchange itself)

StartFailed         a process didn't get as far as being ready; only the serving part sees it
"""

from __future__ import annotations

from scripts.local.http import HttpError


class NoSuchService(HttpError):
    """There is no Service of that name."""


class NoReplica(HttpError):
    """No replica takes the request now; the text says why and where to look."""


class StartFailed(Exception):
    """A process ended, or wasn't ready in time; the text is the reason. `final`: another try is no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final
