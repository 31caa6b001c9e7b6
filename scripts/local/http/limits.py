"""How much of a client's time and bytes the server takes."""

from __future__ import annotations

from dataclasses import dataclass

HIGH_WATER_BYTES = 65_536
"""A side that is this far behind is waited for: in what is read, and in what is written."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one listener; beyond them a client is answered 408, 414 or 431, or closed."""

    header_bytes: int = 65_536
    url_bytes: int = 8_192
    stall_s: float = 10.0
    """A header must be whole, and a body must bring `progress_bytes`, within this time."""
    progress_bytes: int = 1_024
    idle_s: float = 75.0
    """How long a connection is kept between two requests."""
    linger_s: float = 2.0
    """How long a refused request's body is still read, so that the refusal arrives before the close."""
    sweep_s: float = 1.0
    """How often the times above are looked at: what they are exact to."""
    pipelined: int = 16
    """Requests parsed ahead on one connection before its reading pauses."""
