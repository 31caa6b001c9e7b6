"""What a reasoning model thinks before it answers, told from the answer by token ids.

DeepSeek-R1, its distills and Qwen3 write `<think>`, their reasoning, `</think>` and then the answer. Both
marks are tokens of their own. Templates often end the prompt with the opening one. Source: DeepSeek's API
reference, "Reasoning Model" (`reasoning_content`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.tokenizer import TextTokenizer

OPENING, CLOSING = "<think>", "</think>"


@dataclass(slots=True)
class ReasoningSplit:
    """Follows the tokens of one answer. Blanks at the beginning of either part are left out.

    Attributes:
        opening: the id of `<think>`.
        closing: the id of `</think>`.
        inside: whether the next token belongs to the reasoning.
        at_start: whether nothing was written of this part yet.
    """

    opening: int
    closing: int
    inside: bool
    at_start: bool

    @classmethod
    def after(
        cls, prompt_ids: Sequence[int], tokenizer: TextTokenizer, *, continued: bool = False
    ) -> ReasoningSplit | None:
        """For the answer to a prompt; None where the tokenizer has no such marks.

        The prompt has opened the reasoning where it ends with the opening mark, or with blanks behind it; or
        it is `continued`, as the caller says.
        """
        opening, closing = tokenizer.token_id(OPENING), tokenizer.token_id(CLOSING)
        if opening is None or closing is None:
            return None
        written = (token_id for token_id in reversed(prompt_ids) if tokenizer.token_text(token_id).strip())
        opened = next(written, None) == opening
        return cls(opening, closing, inside=opened or continued, at_start=opened)

    def is_mark(self, token_id: int) -> bool:
        """Whether this token ends the part that is being written."""
        return token_id == (self.closing if self.inside else self.opening)

    def show(self, text: str) -> str:
        """Text of the present part as it may be shown."""
        if self.at_start:
            text = text.lstrip()
            self.at_start = not text
        return text

    def turn(self) -> None:
        """Go on to the other part."""
        self.inside, self.at_start = not self.inside, True
