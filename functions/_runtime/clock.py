"""The system's clock and ids."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)


class SystemIds:
    """Names that sort by the time they were given: RFC 9562 UUIDs of version 7 without dashes."""

    def new(self, prefix: str) -> str:
        """A name never given before."""
        milliseconds = time.time_ns() // 1_000_000
        value = (
            (milliseconds & (1 << 48) - 1) << 80
            | 0x7 << 76
            | secrets.randbits(12) << 64
            | 0b10 << 62
            | secrets.randbits(62)
        )
        return f"{prefix}_{value:032x}"


def rfc3339(moment: datetime) -> str:
    """`moment` (UTC) as RFC 3339 text with milliseconds, `2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
