"""LoRA adapters: low-rank changes to a model's matrices; each sequence of a step may have another."""
