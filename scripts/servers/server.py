"""What a server of the table has to say about itself."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class ServerFailed(Exception):
    """A server can't be installed, started or stopped; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server lives: its own folder, and its port on 127.0.0.1."""

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        """The folder of what it keeps."""
        return self.folder / "data"


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start.

    Attributes:
        user: whom it runs as; None: whoever starts it.
        stop: the signal at which it ends in good order.
    """

    words: tuple[str, ...]
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM


class Server(Protocol):
    """One kind of server. Each step may be repeated, and does nothing where it is done."""

    port: int
    """The port that it is usually found at."""

    def install(self) -> None:
        """Have its programs on this machine.

        Raises:
            ServerFailed: they are missing and can't be had.
        """
        ...

    def prepare(self, place: Place) -> None:
        """Make its data folder and its password."""
        ...

    def command(self, place: Place) -> Command:
        """The process to start."""
        ...

    def is_ready(self, place: Place) -> bool:
        """Whether it answers its own protocol; what clients expect is there then."""
        ...

    def url(self, place: Place) -> str:
        """The address for clients, password included."""
        ...
