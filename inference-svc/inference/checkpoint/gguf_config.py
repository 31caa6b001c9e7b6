"""A GGUF file's metadata as Hugging Face's `config.json`, and its tensor names as those of transformers.

Sources: the GGUF specification (ggml/docs/gguf.md) for keys and names; transformers' Llama, Qwen2 and Qwen3
configs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.safetensors_writer import FloatArray

_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_TOP |= {"output.weight": "lm_head.weight"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True, slots=True)
class GgufModel:
    """The metadata of a GGUF file, whose `architecture` is one that can be converted."""

    metadata: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.architecture not in _CLASSES:
            raise CheckpointError(
                f"the GGUF file's architecture is {self.architecture!r}; supported: {', '.join(_CLASSES)}"
            )
        unsupported = [name for name in ("expert_count", "rope.scaling.type") if self.value(name, None)]
        if unsupported:
            raise CheckpointError(
                f"the GGUF file uses {self.architecture}.{unsupported[0]}, which can't be converted; "
                "give the model's safetensors folder or hub id instead"
            )

    @property
    def architecture(self) -> str:
        """The GGUF specification's name, such as `llama`."""
        return str(self.metadata.get("general.architecture", "unknown"))

    def value(self, key: str, *default: Any) -> Any:
        """A key of this architecture; one without a default must be there."""
        full = f"{self.architecture}.{key}"
        if full not in self.metadata and not default:
            raise CheckpointError(f"the GGUF file has no {full}")
        return self.metadata.get(full, *default)

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return int(self.value("attention.head_count"))

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values of a layer."""
        return int(self.value("attention.head_count_kv", self.heads))

    def config(self, vocabulary_tokens: int, *, tied_embeddings: bool) -> dict[str, Any]:
        """The model's `config.json`."""
        hidden = int(self.value("embedding_length"))
        ids = {name: self.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
        return {
            "architectures": [_CLASSES[self.architecture]],
            "model_type": self.architecture,
            "hidden_size": hidden,
            "intermediate_size": int(self.value("feed_forward_length")),
            "num_hidden_layers": int(self.value("block_count")),
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": int(self.value("attention.key_length", hidden // self.heads)),
            "hidden_act": "silu",
            "max_position_embeddings": int(self.value("context_length")),
            "rms_norm_eps": float(self.value("attention.layer_norm_rms_epsilon")),
            "rope_theta": float(self.value("rope.freq_base", 10_000.0)),
            "attention_bias": False,
            "mlp_bias": False,
            "vocab_size": vocabulary_tokens,
            "tie_word_embeddings": tied_embeddings,
            "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
            "torch_dtype": "bfloat16",
        }

    def tensor_name(self, name: str) -> str:
        """The name of a GGUF tensor in transformers.

        Raises:
            CheckpointError: a tensor that this architecture doesn't have.
        """
        if name in _TOP:
            return _TOP[name]
        parts = name.split(".")  # blk.<layer>.<module>.<weight or bias>
        if len(parts) == 4 and parts[0] == "blk" and parts[2] in _BLOCK:
            return f"model.layers.{parts[1]}.{_BLOCK[parts[2]]}.{parts[3]}"
        raise CheckpointError(f"the GGUF file has a tensor {name!r}, which can't be converted")

    def tensor(self, name: str, values: FloatArray) -> FloatArray:
        """A tensor's values in transformers' order.

        GGUF stores Llama's queries and keys with the two halves of each head interleaved, as its rotary
        embedding wants them; transformers wants the halves one after the other.
        """
        if self.architecture != "llama" or (".attn_q." not in name and ".attn_k." not in name):
            return values
        heads = self.heads if ".attn_q." in name else self.kv_heads
        halves = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
        return halves.swapaxes(1, 2).reshape(values.shape)
