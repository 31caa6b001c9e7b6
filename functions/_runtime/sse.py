"""Server-sent events as they come in (WHATWG HTML, 9.2.6): the data of each, whatever pieces they came in."""

from __future__ import annotations

from functions._runtime.errors import BadGateway

EVENT_LIMIT_BYTES = 1024 * 1024


class EventParser:
    """Takes bytes, gives the data of the events that are complete; comments and other fields are skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended_with_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes.

        Raises:
            BadGateway: an event is longer than 1 MB.
        """
        if chunk and (b"\r" in chunk or self._ended_with_cr):
            chunk = self._with_line_feeds(chunk)
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        if len(self._rest) > EVENT_LIMIT_BYTES:
            raise BadGateway(f"A server sent an event of more than {EVENT_LIMIT_BYTES} bytes.")
        return [data for block in blocks if (data := _data(block)) is not None]

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if self._ended_with_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a line end that has been counted
        self._ended_with_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(block: bytes) -> bytes | None:
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
