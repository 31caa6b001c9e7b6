"""Guessing an answer's next tokens: what followed the same tokens before may follow them again.

Prompt look-up (Saxena, "Prompt Lookup Decoding", 2023), over prompt and answer, with a memory: a place that
was right is followed further instead of being looked up anew.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAM_TOKENS = 3
_WEIGHT = 0.2  # of the latest guess in the share of right ones


class Guesses:
    """Of one answer. A guess is tried on every token that comes, also where it wasn't used: that is free.

    Attributes:
        tokens: the prompt's and the answer's.
        acceptance: the share of guesses that were right of late; none at first, so that only an answer that
            does repeat is speculated on.
    """

    def __init__(self, tokens: Sequence[int], prompt_tokens: int) -> None:
        """Guess what follows `tokens`, which grows: the prompt, then the answer."""
        self.acceptance = 0.0
        self.tokens = tokens
        self._prompt_tokens = prompt_tokens
        self._followed = 0
        self._after: dict[tuple[int, ...], int] = {}  # the place after a gram's latest occurrence
        self._source: int | None = None  # the place whose token comes next, if it is as before

    def follow(self) -> None:
        """Take in the tokens that have come since."""
        tokens = self.tokens
        for place in range(self._followed, len(tokens)):
            source = self._source
            if source is not None:
                right = tokens[source] == tokens[place]
                if place >= self._prompt_tokens:
                    self.acceptance += _WEIGHT * (right - self.acceptance)
                source = source + 1 if right else None
            gram = tuple(tokens[max(0, place + 1 - GRAM_TOKENS) : place + 1])
            self._source = self._after.get(gram) if source is None else source
            self._after[gram] = place + 1
        self._followed = len(tokens)

    @property
    def is_ready(self) -> bool:
        """Whether there is anything to guess from."""
        return self._source is not None

    def next_tokens(self, most: int) -> list[int]:
        """What comes next, if it is as before; behind the last token the guess itself is repeated."""
        guessed: list[int] = []
        if self._source is None:
            return guessed
        for place in range(self._source, self._source + most):
            beyond = place - len(self.tokens)
            guessed.append(guessed[beyond] if beyond >= 0 else self.tokens[place])
        return guessed
