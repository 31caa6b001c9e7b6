"""A checkpoint's tokenizer: text to ids with offsets, and ids to text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text's ids, and for each the half-open range of characters that it stands for."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


class TextTokenizer:
    """A `tokenizers` tokenizer with what serving needs of it; safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(token_id for token_id, token in added.items() if token.special)

    @classmethod
    def from_folder(cls, folder: Path) -> TextTokenizer:
        """Read `tokenizer.json`.

        Raises:
            OSError: the file can't be read.
            ValueError: it is no tokenizer.
        """
        from tokenizers import Tokenizer

        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:
            raise ValueError(f"{folder / 'tokenizer.json'} is not a tokenizer: {error}") from error

    def to_json(self) -> str:
        """The tokenizer as `tokenizer.json` has it."""
        return str(self._tokenizer.to_str())

    def encode(self, text: str, add_special_tokens: bool) -> Encoding:
        """Split text into tokens. `add_special_tokens` adds what the model expects around a bare text."""
        encoding = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return Encoding(tuple(encoding.ids), tuple(encoding.offsets))

    def decode(self, ids: list[int]) -> str:
        """The text of these ids, special tokens left out; invalid UTF-8 as U+FFFD."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def is_special(self, token_id: int) -> bool:
        """Whether the id marks structure (such as an end of turn) rather than text."""
        return token_id in self._special

    def token_id(self, token: str) -> int | None:
        """The id of a token by its exact name, such as `<|im_end|>`."""
        token_id: int | None = self._tokenizer.token_to_id(token)
        return token_id

    def token_text(self, token_id: int) -> str:
        """The text of one token by itself, special tokens by their names."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False))
