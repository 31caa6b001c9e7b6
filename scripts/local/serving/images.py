"""What stands on this machine for a container's image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """A Python environment and the folder that a container would have as its working directory."""

    environment: Path
    folder: Path

    @property
    def programs(self) -> Path:
        """Where its commands are."""
        return self.environment / "bin"
