"""Logs: one JSON object a line on standard error, and no secret or prompt in any.

A field is dropped by its name where its value is somebody's words or credential, and a text that looks like a
credential is blotted out wherever it stands. An exception is logged by its type and place only, because its
text may quote what a user wrote.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from functions._runtime.tracing import current_trace

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_SECRET_NAMES = re.compile(
    r"authorization|cookie|passw|secret|token$|api_?key|credential|prompt|messages?$|content$|body$",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(
    r"hdl_[0-9A-Za-z]+_[0-9A-Za-z]+"  # an API key of ours
    r"|eyJ[\w-]+\.[\w.-]+"  # a JWT
    r"|(?i:(?:bearer|basic)\s+)[\w.~+/=-]+"
    r"|sk-[\w-]{8,}"
)
_MARKS = ("hdl_", "eyj", "bearer", "basic", "sk-")
_REMOVED = "[removed]"
_TEXT_LIMIT = 2_000
_FRAMES = 30


class Log:
    """A function's log: `log.info("turn_started", turn_id=…)`; the name is fixed text, data are fields."""

    def __init__(
        self, function: str, level: str = "info", write: Callable[[str], object] | None = None
    ) -> None:
        self._function = function
        self._least = LEVELS[level]
        self._write = write or sys.stderr.write

    def debug(self, event: str, **fields: Any) -> None:
        """What only someone who looks for a fault needs."""
        self._line("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happened."""
        self._line("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something isn't as it should be, and it went on."""
        self._line("warning", event, fields)

    def error(self, event: str, *, error: BaseException | None = None, **fields: Any) -> None:
        """Something failed; of `error` the type and the frames are logged, never its text."""
        if error is not None:
            fields |= {"error": _type_of(error), "frames": _frames(error)}
        self._line("error", event, fields)

    def is_enabled(self, level: str) -> bool:
        """Whether lines of `level` are written."""
        return LEVELS[level] >= self._least

    def _line(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < self._least:
            return
        line: dict[str, Any] = {"time": _now(), "level": level, "function": self._function, "event": event}
        trace = current_trace.get()
        if trace is not None:
            line["trace_id"] = trace.trace_id
            line["request_id"] = trace.request_id
        for name, value in fields.items():
            line[name] = _REMOVED if _is_secret(name) else value
        try:
            text = orjson.dumps(line, default=_describe).decode()
        except TypeError:  # a lone surrogate, or a key that is no text: the slow way writes anything
            text = json.dumps(line, default=_describe, ensure_ascii=False).encode(errors="replace").decode()
        # One write a line, so that the lines of several processes don't mix.
        self._write((_CREDENTIALS.sub(_REMOVED, text) if _may_hold_a_credential(text) else text) + "\n")


class _StandardLibraryLogs(logging.Handler):
    """Takes the lines of libraries into the same log, without their exceptions' text."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        if not self._log.is_enabled(level):
            return
        error = record.exc_info[1] if record.exc_info else None
        # The message's template is fixed text; its arguments may be anything.
        self._log.error("library", error=error, logger=record.name, text=str(record.msg)[:_TEXT_LIMIT])


def take_over_library_logs(log: Log) -> None:
    """Send what libraries log at warning and above to `log`."""
    root = logging.getLogger()
    root.handlers = [_StandardLibraryLogs(log)]
    root.setLevel(logging.WARNING)
    for name in ("gunicorn.error", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)


@lru_cache(maxsize=1024)  # the names of fields are the program's own, and few
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _may_hold_a_credential(text: str) -> bool:
    """Whether the slower search is worth its while: most lines have nothing of the kind."""
    folded = text.casefold()
    return any(mark in folded for mark in _MARKS)


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1_000_000:03d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _type_of(error: BaseException) -> str:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{name} from {_type_of(cause)}" if cause is not None else name


def _frames(error: BaseException) -> list[str]:
    walked = traceback.walk_tb(error.__traceback__)
    frames = [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in walked]
    return frames[-_FRAMES:]


def _describe(value: object) -> str:
    return f"<{type(value).__name__}>"
