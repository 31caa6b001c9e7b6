"""Puts a function's application into the stock server: functions-framework's command, gunicorn, uvicorn.

uvicorn looks up its HTTP protocol and its lifespan by name in two tables of import strings, and gunicorn
takes the defaults of its settings from their classes; functions-framework leaves all of these as they are.
So a process that is about to serve a function enters its own there, and nothing of the three is changed
otherwise:

- the protocol (`protocol.py`) has the limits that the stock one lacks, and hands each request straight to the
  application, without the framework's routes (which answer some paths by themselves);
- the lifespan (`lifespan.py`) starts and closes the function;
- gunicorn waits for answers in progress as long as the Service may take, and opens no control socket.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from functions._runtime.serving.application import Application

LONGEST_CLOSING_S = 10.0
CLOSING_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Hosted:
    """The one function of this process; `master_pid` is the process that loaded it."""

    application: Application
    master_pid: int


_hosted: Hosted | None = None


def host(application: Application) -> None:
    """Serve `application` in this process and the workers forked from it."""
    global _hosted  # noqa: PLW0603  what the server makes by itself must find it
    _hosted = Hosted(application, os.getpid())
    _enter_uvicorn()
    _enter_gunicorn(application.settings.graceful_timeout_s)


def hosted() -> Hosted:
    """What `host` was given."""
    if _hosted is None:
        raise RuntimeError("nothing is hosted: `host` comes first")
    return _hosted


def answering_s(graceful_timeout_s: int) -> float:
    """How long answers may go on after SIGTERM, so that the function can still close before SIGKILL."""
    return graceful_timeout_s - min(LONGEST_CLOSING_S, graceful_timeout_s * CLOSING_SHARE)


def _enter_uvicorn() -> None:
    from uvicorn import config

    config.HTTP_PROTOCOLS["auto"] = "functions._runtime.serving.protocol:GuardedProtocol"
    config.LIFESPAN["auto"] = "functions._runtime.serving.lifespan:FunctionLifespan"


def _enter_gunicorn(graceful_timeout_s: int) -> None:
    from gunicorn import config

    config.GracefulTimeout.default = graceful_timeout_s
    # One socket for all of a user's processes: they would take it from each other.
    config.ControlSocketDisable.default = True
