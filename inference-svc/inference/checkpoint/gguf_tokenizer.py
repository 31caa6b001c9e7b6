"""A GGUF file's vocabulary as a `tokenizers` tokenizer.

GGUF has the vocabulary, the merges and the name of the pre-tokenizer, but not the pre-tokenizer itself: the
rules by name are those of each model's published `tokenizer.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.pre_tokenizers import PreTokenizer

from inference.checkpoint.errors import CheckpointError

CONTROL, USER_DEFINED = 3, 4  # GGUF's token types of added tokens
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    "llama-bpe": rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}",
    "qwen2": rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}",
}
_SPLITS["deepseek-r1-qwen"] = _SPLITS["qwen2"]


def _pre_tokenizer(name: str) -> PreTokenizer:
    if name in {"gpt-2", "default"}:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if name in _SPLITS:
        split = pre_tokenizers.Split(Regex(_SPLITS[name]), behavior="isolated")
        return pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    known = ", ".join(("gpt-2", "default", "smollm", *_SPLITS))
    raise CheckpointError(f"the GGUF file's pre-tokenizer is {name!r}; supported: {known}")


def gguf_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer.

    Raises:
        CheckpointError: a kind of vocabulary or a pre-tokenizer that isn't supported.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(
            f"the GGUF file's vocabulary is of kind {kind!r}; supported: gpt2 (byte-level BPE)"
        )
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    types = metadata["tokenizer.ggml.token_type"]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = _pre_tokenizer(metadata.get("tokenizer.ggml.pre", "default"))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(
        [
            AddedToken(token, special=kind_of_token == CONTROL, normalized=False)
            for token, kind_of_token in zip(tokens, types, strict=True)
            if kind_of_token in {CONTROL, USER_DEFINED}
        ]
    )
    if metadata.get("tokenizer.ggml.add_bos_token"):
        bos_id = metadata["tokenizer.ggml.bos_token_id"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos_id]} $A", special_tokens=[(tokens[bos_id], bos_id)]
        )
    return tokenizer


def gguf_tokenizer_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The `tokenizer_config.json` beside it: the names of the special tokens."""
    tokens = metadata["tokenizer.ggml.tokens"]
    keys = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    ids = {name: metadata.get(f"tokenizer.ggml.{key}_token_id") for name, key in keys.items()}
    named = {name: tokens[token_id] for name, token_id in ids.items() if token_id is not None}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token")),
        **named,
    }
