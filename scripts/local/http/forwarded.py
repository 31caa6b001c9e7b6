"""What those between a client and a server say of the client (RFC 7239, and the fields before it)."""

from __future__ import annotations

import random

from .head import Header


def forwarded(peer: str) -> tuple[Header, ...]:
    """The fields for a client that came by plain HTTP and has none yet."""
    address = peer.encode()
    # An address of IPv6 stands in brackets and quotes.
    node = b'"[%b]"' % address if ":" in peer else address
    return (
        (b"x-forwarded-for", address),
        (b"x-forwarded-proto", b"http"),
        (b"forwarded", b"for=%b;proto=http" % node),
    )


def request_id() -> Header:
    """A name for a request that has none."""
    return (b"x-request-id", b"%032x" % random.getrandbits(128))
