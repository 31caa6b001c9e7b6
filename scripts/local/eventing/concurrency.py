"""How many deliveries a subscriber is given at once."""

from __future__ import annotations

MOST = 100
LEAST = 4


class Concurrency:
    """Halves when the subscriber has too much to do or says nothing; grows by one with each delivery."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places = MOST

    def taken(self) -> None:
        """A delivery succeeded."""
        if self.places < MOST:
            self.places += 1

    def overloaded(self) -> None:
        """429, 503, or no answer."""
        self.places = max(LEAST, self.places // 2)
