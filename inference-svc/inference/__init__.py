"""The model service: Text Generation Inference's HTTP contract in front of a local engine."""

from __future__ import annotations

__version__ = "0.1.0"
