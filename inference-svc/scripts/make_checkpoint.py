"""Small random-weight checkpoints for tests: the shapes of every architecture that the engine computes.

`python -m scripts.make_checkpoint --out DIR --shape llama` writes one. The same seed and text give the same
files. The tokenizer is a byte-level BPE trained on the project's own documentation and source.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = 20_260
VOCABULARY_TOKENS = 1024
CONTEXT_TOKENS = 512
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_PROJECT = Path(__file__).resolve().parents[1]
_COMMON = {
    "vocab_size": VOCABULARY_TOKENS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT_TOKENS,
    "initializer_range": 0.2,  # wide, so that greedy choices aren't near ties
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
_STRETCHED = {"rope_theta": 10_000.0, "factor": 8.0, "original_max_position_embeddings": 64}
_LLAMA3_ROPE = _STRETCHED | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_YARN_ROPE = _STRETCHED | {"rope_type": "yarn"}
_DEEPSEEK_ROPE = _YARN_ROPE | {"mscale": 1.0, "mscale_all_dim": 0.7, "beta_fast": 32, "beta_slow": 1}
_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama-3.1": ("LlamaConfig", {"num_key_value_heads": 2, "rope_parameters": _LLAMA3_ROPE}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 2}),
    "qwen2-yarn": ("Qwen2Config", {"num_key_value_heads": 2, "rope_parameters": _YARN_ROPE}),
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 24}),
    "deepseek-v2": (
        "DeepseekV2Config",
        _LATENT | {"topk_method": "group_limited_greedy", "rope_parameters": _DEEPSEEK_ROPE},
    ),
    "deepseek-v2-lite": ("DeepseekV2Config", _LATENT | {"q_lora_rank": None, "topk_method": "greedy"}),
    "deepseek-v3": ("DeepseekV3Config", _LATENT),
    "deepseek-v3-yarn": ("DeepseekV3Config", _LATENT | {"rope_parameters": _DEEPSEEK_ROPE}),
}
SHAPES = tuple(_SHAPES)
_LARGE_COMMON: dict[str, Any] = {
    "vocab_size": 32_000,
    "max_position_embeddings": 4096,
    "initializer_range": 0.02,
}
_LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2-125m": (
        "Qwen2Config",
        _LARGE_COMMON
        | {
            "hidden_size": 768,
            "intermediate_size": 2048,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
        },
    ),
    "dsv3-75m": (
        "DeepseekV3Config",
        _LATENT
        | _LARGE_COMMON
        | {
            "hidden_size": 512,
            "intermediate_size": 1536,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 8,
            "q_lora_rank": None,
            "kv_lora_rank": 128,
            "qk_nope_head_dim": 64,
            "qk_rope_head_dim": 32,
            "v_head_dim": 64,
            "moe_intermediate_size": 512,
        },
    ),
}
LARGE_SHAPES = tuple(_LARGE)
"""For benchmarks: random weights in bfloat16, which compute as long as a trained model's."""


def _project_text() -> Iterator[str]:
    """The project's documentation and source, in a fixed order."""
    for path in (_PROJECT / "README.md", *sorted((_PROJECT / "inference").rglob("*.py"))):
        yield path.read_text(encoding="utf-8")
    yield "Grüße, καλημέρα, добрый день, 你好, こんにちは, 안녕하세요, 🌊🐋🦑 … “deep” œuvre, naïve café"


def train_tokenizer() -> Any:
    """A byte-level BPE with every byte in it, so that any text can be written."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_TOKENS,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_project_text(), trainer)
    return tokenizer


def make_checkpoint(folder: Path, shape: str) -> Path:
    """Write a checkpoint of one of `SHAPES` or `LARGE_SHAPES` into `folder` and return it."""
    import torch
    import transformers

    config_class, differences = (_SHAPES | _LARGE)[shape]
    config = getattr(transformers, config_class)(**_COMMON | differences)
    torch.manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, vector in (*model.named_parameters(), *model.named_buffers()):
        if name.endswith((".bias", "_norm.weight", "norm.weight", "e_score_correction_bias")):
            vector.data += torch.randn_like(vector) / 8  # not the zeros and ones that hide a missing term
    model.to(torch.bfloat16 if shape in _LARGE else torch.float32).save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(),
        bos_token=SPECIAL_TOKENS[1],
        eos_token=SPECIAL_TOKENS[2],
        pad_token=SPECIAL_TOKENS[0],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--shape", choices=SHAPES + LARGE_SHAPES, default="llama")
    options = parser.parse_args()
    print(make_checkpoint(options.out, options.shape))


if __name__ == "__main__":
    main()
