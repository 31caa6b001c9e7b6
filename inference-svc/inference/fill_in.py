"""Filling in the middle: the text between a prompt and its suffix, by the tokens that a model has for it.

Sources: Bavarian et al. 2022 (arXiv 2207.14255), "prefix, suffix, middle"; the model cards of Qwen2.5-Coder,
DeepSeek-Coder and StarCoder.
"""

from __future__ import annotations

from inference.errors import SuffixNotSupportedError
from inference.tokenizer import TextTokenizer

# Before the prompt, before the suffix, before the middle.
_FORMS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
)


def fill_in_prompt(prompt: str, suffix: str, tokenizer: TextTokenizer) -> str:
    """The prompt that asks for what stands between these two.

    Raises:
        SuffixNotSupportedError: the model has no such tokens.
    """
    for marks in _FORMS:
        if all(tokenizer.token_id(mark) is not None for mark in marks):
            begin, hole, end = marks
            return f"{begin}{prompt}{hole}{suffix}{end}"
    raise SuffixNotSupportedError(
        "`suffix` is not supported: the model's tokenizer has no tokens to fill in the middle"
    )
