"""The manifests, read: a kustomize overlay in, frozen dataclasses out, or every fault at once."""

from __future__ import annotations

from .load import load
from .model import Manifests
from .problems import ManifestError, Problem

__all__ = ["ManifestError", "Manifests", "Problem", "load"]
