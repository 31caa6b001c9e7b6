"""A small GGUF file with random weights, written as llama.cpp writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

HEADS, KV_HEADS, HIDDEN, LAYERS = 4, 2, 64, 2
TOKENS = ["<|end|>", *sorted({chr(code) for code in range(0x21, 0x7F)} | {"Ġ", "Ċ", "Ã", "©"}), "he", "lo"]


def write_gguf(
    path: Path, *, architecture: str = "llama", **differences: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Write a small model; return its weights under transformers' names, as transformers orders them."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(96)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(50_000.0)
    writer.add_tokenizer_model(differences.get("tokenizer", "gpt2"))
    writer.add_tokenizer_pre(differences.get("pre", "smollm"))
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] + [1] * (len(TOKENS) - 1))
    writer.add_token_merges(["h e", "l o"])
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    weights = _weights()
    for name, values in weights.items():
        writer.add_tensor(
            _gguf_name(name), _as_llama_cpp(name, values) if architecture == "llama" else values
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _weights() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(7)
    sizes = {"q_proj": (64, 64), "k_proj": (32, 64), "v_proj": (32, 64), "o_proj": (64, 64)}
    mlp = {"gate_proj": (96, 64), "up_proj": (96, 64), "down_proj": (64, 96)}
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (len(TOKENS), 64),
        "model.norm.weight": (64,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{name}.weight": size for name, size in sizes.items()}
        shapes |= {f"{prefix}.mlp.{name}.weight": size for name, size in mlp.items()}
        shapes |= {
            f"{prefix}.{name}.weight": (64,) for name in ("input_layernorm", "post_attention_layernorm")
        }
    # Values that bfloat16 holds exactly, so that the conversion must return them unchanged.
    return {name: random.integers(-64, 64, size).astype(np.float32) / 256 for name, size in shapes.items()}


def _gguf_name(name: str) -> str:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    return f"{names.get_name(name.removesuffix('.weight'))}.weight"


def _as_llama_cpp(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How llama.cpp stores queries and keys: row i and row i + half of a head become neighbours."""
    if "q_proj" not in name and "k_proj" not in name:
        return values
    heads = HEADS if "q_proj" in name else KV_HEADS
    rows = np.arange(len(values)).reshape(heads, -1)
    half = rows.shape[1] // 2
    order = [row for head in rows for pair in zip(head[:half], head[half:], strict=True) for row in pair]
    return np.ascontiguousarray(values[order])
