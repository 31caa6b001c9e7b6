"""Starts `auth` while the gateway itself starts: the first caller waits for both side by side."""

from __future__ import annotations

from dataclasses import dataclass

from functions._runtime.errors import BadGateway, Unavailable
from functions.gateway.upstream import Upstream

_LONGEST_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class WakeAuth:
    """What every caller's key is checked by is asked whether it is alive; nothing depends on the answer."""

    auth: Upstream

    async def __call__(self) -> None:
        """Ask once."""
        try:
            async with self.auth.ask("GET", "/healthz", {}) as answer:
                await answer.read(_LONGEST_ANSWER_BYTES)
        except (BadGateway, Unavailable):
            pass  # whoever comes with a key is told
