"""One machine's Knative Serving: Services as child processes, started when asked and stopped when idle."""

from __future__ import annotations

from .activator import Activator
from .errors import NoReplica, NoSuchService
from .external import External
from .images import Image
from .listeners import Inner, Outer
from .served import first_missing

__all__ = [
    "Activator",
    "External",
    "Image",
    "Inner",
    "NoReplica",
    "NoSuchService",
    "Outer",
    "first_missing",
]
