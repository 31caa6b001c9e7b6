"""A tokenizer for tests with one token a byte: ids are foreseeable, and characters span tokens."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from inference.tokenizer import TextTokenizer

END = "<|end|>"


def make_byte_tokenizer(*marks: str, special: bool = False) -> TextTokenizer:
    """Tokens 0..255 are bytes in the order of the byte-level alphabet; one special token ends a text.

    `marks` are tokens of their own too, special ones where that is asked for.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    tokenizer.add_tokens([AddedToken(mark, special=special) for mark in marks])
    return TextTokenizer(tokenizer)


def ids_of(tokenizer: TextTokenizer, text: str) -> list[int]:
    """One id a byte of the text."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
