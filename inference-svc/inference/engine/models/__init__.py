"""The models this engine computes itself. `load_model` and `load_gguf_model` make a `CausalModel`."""

from inference.engine.models.config import UnsupportedArchitecture
from inference.engine.models.load import LoadOptions, load_model
from inference.engine.models.load_gguf import load_gguf_model

__all__ = ["LoadOptions", "UnsupportedArchitecture", "load_gguf_model", "load_model"]
