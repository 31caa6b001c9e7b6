"""How much the model takes, known without asking before every turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from functions._runtime.errors import Problem
from functions._runtime.ports import Clock
from functions.chat.background import Background

KEPT_S = 60


class KnownWindow:
    """The model's window: asked for once, and again behind an answer's back when it is a minute old."""

    def __init__(
        self, ask: Callable[[], Awaitable[int]], fallback_tokens: int, clock: Clock, background: Background
    ) -> None:
        self._ask = ask
        self._tokens = fallback_tokens
        self._clock = clock
        self._background = background
        self._asked_at: datetime | None = None

    async def tokens(self) -> int:
        """The window, in tokens.

        While the model service doesn't say (it may be starting), the last known one or the fallback: a prompt
        that turns out too long is shortened then.
        """
        now = self._clock.now()
        if self._asked_at is None:
            await self._refresh()
        elif now - self._asked_at > timedelta(seconds=KEPT_S):
            self._asked_at = now
            self._background.start(self._refresh())
        return self._tokens

    async def _refresh(self) -> None:
        try:
            self._tokens = await self._ask()
        except Problem:
            return
        self._asked_at = self._clock.now()
