"""The models this engine computes itself. `load_model` takes a checkpoint folder to a `CausalModel`."""

from inference.engine.models.config import UnsupportedArchitecture
from inference.engine.models.load import LoadOptions, load_model

__all__ = ["LoadOptions", "UnsupportedArchitecture", "load_model"]
