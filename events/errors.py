"""What can be wrong with an event.

InvalidEvent            it breaks the CloudEvents specification or its fact's schema
├── EventTooLarge       it is longer than the receiver takes
└── UnknownFact         it is a valid event of a type that the catalogue doesn't know
"""

from __future__ import annotations


class InvalidEvent(ValueError):
    """An event that may not be taken; the message says what is wrong, where, and what would be right.

    ``attribute`` names the attribute (or ``data``) that is at fault, or is None where the whole message is.
    The message is ours: it may be shown to the sender.
    """

    def __init__(self, message: str, attribute: str | None = None) -> None:
        super().__init__(message)
        self.attribute = attribute


class EventTooLarge(InvalidEvent):
    """The message is longer than the receiver takes (HTTP: 413)."""


class UnknownFact(InvalidEvent):
    """A valid event whose type isn't in the catalogue: ignore it and count it."""


def shown(value: object, limit: int = 60) -> str:
    """A sender's value for a message: quoted, escaped, on one line, at most ``limit`` characters."""
    text = ascii(value[: limit + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= limit else f"{text[:limit]}…"
