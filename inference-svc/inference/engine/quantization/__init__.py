"""Four and eight bits: weights straight from a GGUF file, multiplied by torch's packed operators."""
