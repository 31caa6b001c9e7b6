"""The envelope: one CloudEvents 1.0 event, whatever mode it came in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from . import jsontext
from .errors import InvalidEvent

SPEC_VERSION = "1.0"

ExtensionValue = str | int | bool | bytes
"""String, URI, URI-reference and Timestamp are ``str``; Integer (32 bits); Boolean; Binary."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """An event as the CloudEvents 1.0.2 core specification defines it.

    ``time`` is kept as the RFC 3339 text that was sent, so that a round trip is exact. ``data`` is the
    payload's bytes in every mode (JSON text where ``datacontenttype`` declares JSON), or None.

    Making one checks nothing, because the functions' own events are made from checked parts in hot paths:
    what comes from outside goes through a decoder, and an event made by hand through ``events.validate``.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: bytes | None = None
    extensions: Mapping[str, ExtensionValue] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.source, self.id))  # what identifies an event (core specification, "id")

    def json(self) -> Any:
        """The decoded payload; InvalidEvent where there is none or where it isn't JSON."""
        if self.data is None:
            raise InvalidEvent("the event has no data; a JSON payload is needed", "data")
        return jsontext.loads(self.data, "data")

    def attributes(self) -> dict[str, str]:
        """Every attribute that is set, in its canonical string form: what filters and headers see."""
        attributes = {"specversion": SPEC_VERSION, "id": self.id, "source": self.source, "type": self.type}
        if self.subject is not None:
            attributes["subject"] = self.subject
        if self.time is not None:
            attributes["time"] = self.time
        if self.datacontenttype is not None:
            attributes["datacontenttype"] = self.datacontenttype
        if self.dataschema is not None:
            attributes["dataschema"] = self.dataschema
        for name, value in self.extensions.items():
            attributes[name] = value if value.__class__ is str else canonical(value)
        return attributes

    def recurrent(self) -> tuple[str, str, str | None, str | None]:
        """Source, type, datacontenttype and dataschema: the values that are the same in many events."""
        return self.source, self.type, self.datacontenttype, self.dataschema

    def own(self) -> tuple[tuple[str, ...], list[ExtensionValue]]:
        """Names and values of all else that is set, but ``specversion``: what is the event's own."""
        extensions = self.extensions
        if self.subject is not None and self.time is not None:  # as nearly always
            names = ("id", "subject", "time", *extensions)
            return names, [self.id, self.subject, self.time, *extensions.values()]
        named = {"id": self.id, "subject": self.subject, "time": self.time, **extensions}
        there = {name: value for name, value in named.items() if value is not None}
        return tuple(there), list(there.values())

    def extended(self, **extensions: ExtensionValue) -> CloudEvent:
        """The same event with these extensions added or replaced; InvalidEvent for one that may not be."""
        from .validation import check_extension  # validation knows this class

        for name, value in extensions.items():
            check_extension(name, value)
        return replace(self, extensions={**self.extensions, **extensions})


class _Unfrozen:
    __slots__ = CloudEvent.__slots__


def assembled(
    id: str,  # noqa: A002 (the attribute's name)
    source: str,
    type: str,  # noqa: A002 (the attribute's name)
    subject: str | None,
    time: str | None,
    datacontenttype: str | None,
    dataschema: str | None,
    data: bytes | None,
    extensions: Mapping[str, ExtensionValue],
) -> CloudEvent:
    """What ``CloudEvent(…)`` makes, in a third of the time: decoders make thousands a second.

    A frozen dataclass sets its fields by ``object.__setattr__``; here it is filled first and frozen then.
    """
    event: Any = _Unfrozen()
    event.id = id
    event.source = source
    event.type = type
    event.subject = subject
    event.time = time
    event.datacontenttype = datacontenttype
    event.dataschema = dataschema
    event.data = data
    event.extensions = extensions
    event.__class__ = CloudEvent
    return cast("CloudEvent", event)


def canonical(value: ExtensionValue) -> str:
    """The canonical string form of an attribute's value (core specification, "Type System")."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return base64.b64encode(value).decode("ascii")
