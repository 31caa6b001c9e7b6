"""Token ids to text, one token at a time, right for characters that span several tokens."""

from __future__ import annotations

from typing import Protocol

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER_TOKENS = 4  # UTF-8 needs at most four bytes, and a token holds at least one


class TokenDecoder(Protocol):
    """The part of a tokenizer that reads ids."""

    def decode(self, ids: list[int]) -> str:
        """The text of these ids, special tokens left out; invalid UTF-8 as U+FFFD."""
        ...

    def is_special(self, token_id: int) -> bool:
        """Whether the id marks structure (such as an end of turn) rather than text."""
        ...


class Detokenizer:
    """The text that each new token completes.

    A tokenizer's decoding isn't a concatenation (leading spaces, bytes of one character), so a small window
    of ids is decoded twice, without and with the new one; the difference is the new text. A difference that
    ends in an incomplete character waits for the next token.
    """

    def __init__(self, decoder: TokenDecoder) -> None:
        self._decoder = decoder
        self._shown: list[int] = []  # ids whose text is out; kept as context for the next difference
        self._pending: list[int] = []  # ids whose text isn't complete

    def push(self, token_id: int) -> str:
        """Take one token; return the text that is complete now, which may be empty."""
        if self._decoder.is_special(token_id):
            return self.flush()
        self._pending.append(token_id)
        text = self._difference()
        # What is still broken after four tokens is no character that a fifth could complete.
        if text.endswith(REPLACEMENT) and len(self._pending) < LONGEST_CHARACTER_TOKENS:
            return ""
        return self._release(text)

    def flush(self) -> str:
        """Return what is left, broken characters as U+FFFD."""
        return self._release(self._difference()) if self._pending else ""

    def _difference(self) -> str:
        before = self._decoder.decode(self._shown)
        return self._decoder.decode(self._shown + self._pending)[len(before) :]

    def _release(self, text: str) -> str:
        if text:
            # Broken bytes are no context: with them in the window, later bytes would change text that is out.
            self._shown = [] if text.endswith(REPLACEMENT) else self._pending
            self._pending = []
        return text
