"""Free ports for children."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 32_000
"""Below the range from which Linux takes ports for outgoing connections (32768 and up), so that no connection
takes one between our look at it and the child's bind."""


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    for _ in range(100):
        port = random.randrange(FIRST, LAST)  # noqa: S311  it guards nothing
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {FIRST} to {LAST} on 127.0.0.1")
