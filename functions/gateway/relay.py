"""A stream of server-sent events passed on as it comes, and an honest end to it whatever happens.

Only whole events are passed on (WHATWG HTML, 9.2.5: an event ends with an empty line), so that between two
of them there is always a place for a heartbeat or an error. Models send an event in one write, so nothing
waits for that. A stream that ends without `[DONE]` or an error has broken off, and the client is told.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Protocol

import orjson

from functions._runtime.errors import BadGateway, Unavailable
from functions.gateway.openai_errors import error_body, error_event

KEEP_ALIVE = b": keep-alive\n\n"
LONGEST_EVENT_BYTES = 1024 * 1024

_DONE = (b"[DONE]\n\n", b"[DONE]\r\n\r\n")
_EVENT = re.compile(rb".*?(?:\n\n|\r\n\r\n)", re.DOTALL)
_BROKEN = error_event(
    error_body(502, "The answer broke off: its server ended it before it was complete.", "upstream_error")
)
_SILENT = error_event(
    error_body(503, "The answer broke off: its server has sent nothing for too long.", "upstream_timeout")
)


class Chunks(Protocol):
    """A body that comes in pieces."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The pieces from here on.

        Raises:
            Unavailable: none came for a while; called again, this goes on waiting.
            BadGateway: the body broke off.
        """
        ...


async def relayed(
    answer: Chunks, connection: AsyncExitStack, silences: int, error_of: Callable[[bytes], bytes]
) -> AsyncIterator[bytes]:
    """The events of `answer`, each as it comes; at a silence a heartbeat, at the last of `silences` an error.

    `error_of` makes the event that stands for an error event of the server, from its data. `connection` is
    closed with the iterator, whether the server is done or not: for a client that left nothing is generated.
    """
    async with connection:
        events, silent, done = _Events(), 0, False
        while not done:
            try:
                async for chunk in answer.chunks():
                    silent = 0
                    whole = events.completed_by(chunk)
                    if b'"error"' in whole and (found := _first_error(whole)):
                        yield found[0] + error_of(found[1])
                        return
                    if whole and not done:  # what follows [DONE] is only read to use the connection again
                        done = whole.endswith(_DONE)
                        yield whole
                break
            except Unavailable:
                silent += 1
                if done or silent >= silences:
                    break
                yield KEEP_ALIVE
            except BadGateway:
                break
        if not done:
            yield _SILENT if silent else _BROKEN


class _Events:
    """Puts the pieces of a body together to whole events."""

    def __init__(self) -> None:
        self._begun = b""

    def completed_by(self, chunk: bytes) -> bytes:
        """The events that are complete with `chunk`, perhaps none.

        Raises:
            BadGateway: an event is longer than any can be.
        """
        if not self._begun and chunk.endswith(b"\n\n"):
            return chunk
        text = self._begun + chunk
        end = max(text.rfind(b"\n\n") + 2, text.rfind(b"\r\n\r\n") + 4)
        if end < 4:  # neither was found
            end = 0
        self._begun = text[end:]
        if len(self._begun) > LONGEST_EVENT_BYTES:
            raise BadGateway("A server behind this one sent an event without an end.")
        return text[:end]


def _first_error(events: bytes) -> tuple[bytes, bytes] | None:
    """What stands before the first error event, and the data of that."""
    for match in _EVENT.finditer(events):
        data = b"\n".join(line[5:].strip() for line in match[0].splitlines() if line.startswith(b"data:"))
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict) and value.get("error"):
            return events[: match.start()], data
    return None
