"""Why a model can't be had; the text is one line for an operator."""

from __future__ import annotations


class CheckpointError(Exception):
    """The model isn't there, isn't whole, or is of a kind that can't be served."""
