"""The manifests, read: a kustomize overlay in, frozen dataclasses out, or every fault at once."""

from __future__ import annotations
