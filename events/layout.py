"""Binary mode's headers read in one go: which of them holds what, worked out once for each order of names.

A producer sends the same headers in the same order with every event. What can be said of the names alone is
therefore kept by order, what can be said of the values that recur (``RECURRENT``) is kept too, and an event's
own values are looked at together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from .cloudevent import CloudEvent, assembled
from .errors import InvalidEvent, shown
from .grammar import declares_json, is_ordinary_timestamp
from .remembered import remembered
from .validation import (
    CORE_NAMES,
    RECURRENT,
    REQUIRED,
    check_core_value,
    check_data,
    check_version,
    checked,
    may_name_an_extension,
)

_OWN = ("id", "subject", "time")
_NEVER = b"no values leave this: letters are plain"

Pick = Callable[[Sequence[Any]], tuple[Any, ...]]


class Binding:
    """How the headers of one protocol hold events."""

    def __init__(
        self,
        attribute_of: Callable[[Any], str | None],
        value_of: Callable[[str, bytes], str],
        plain: bytes,
    ) -> None:
        """What sets the protocol apart.

        ``attribute_of`` tells which attribute a header holds, if any; ``value_of`` reads an attribute, by its
        name, from what the header has, or raises InvalidEvent; ``plain`` are the characters, without the line
        feed, that stand for themselves in any value.
        """
        self._attribute_of = attribute_of
        self.value_of = value_of
        self.plain = plain
        self.layout: Callable[[tuple[Any, ...]], Layout] = remembered(self._layout)
        self.recurrent: Callable[[Any], tuple[Any, ...]] = remembered(self._recurrent)

    def _layout(self, headers: tuple[Any, ...]) -> Layout:
        """Where the attributes stand among headers of these names; InvalidEvent if one stands twice."""
        places: dict[str, int] = {}
        for place, header in enumerate(headers):
            name = self._attribute_of(header)
            if name in places:
                text = header.decode("latin-1") if isinstance(header, bytes) else header
                raise InvalidEvent(f"header {shown(text)} stands twice; it may stand once", name)
            if name is not None:
                places[name] = place
        return Layout.of(places, self)

    def _recurrent(self, texts: tuple[tuple[str, ...], tuple[bytes, ...]]) -> tuple[Any, ...]:
        """``RECURRENT``, None for an absent one, and whether data has to be JSON.

        Read from the names of those that are there and their headers' values. Raises InvalidEvent unless all
        are valid, ``specversion`` among them.
        """
        found = {name: self.value_of(name, value) for name, value in zip(*texts, strict=True)}
        check_version(found.pop("specversion"))
        for name, value in found.items():
            check_core_value(name, value)
        return (*map(found.get, RECURRENT), declares_json(found.get("datacontenttype", "")))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an event's attributes stand among headers of certain names."""

    places: dict[str, int]
    """Every attribute's, ``datacontenttype`` among them; a header that isn't an event's has none."""
    content_type: int | None
    is_bare: bool
    """Whether there is no attribute but ``datacontenttype``, so that this is no event."""
    _value_of: Callable[[str, bytes], str]
    _plain: bytes
    _recurrent: Callable[[Any], tuple[Any, ...]]
    _recurrent_names: tuple[str, ...]
    _recurrent_of: Pick
    _own_of: Pick
    _line_feeds: bytes
    _extensions: tuple[str, ...]
    _core_of: Pick

    @classmethod
    def of(cls, places: dict[str, int], binding: Binding) -> Layout:
        """The layout in which these attributes stand at these places."""
        extensions = tuple(name for name in places if name not in CORE_NAMES)
        own = (*extensions, *(name for name in _OWN if name in places))
        recurrent = tuple(name for name in ("specversion", *RECURRENT) if name in places)
        whole = places.keys() >= {"specversion", *REQUIRED} and all(map(may_name_an_extension, extensions))
        return cls(
            places=places,
            content_type=places.get("datacontenttype"),
            is_bare=places.keys() <= {"datacontenttype"},
            _value_of=binding.value_of,
            _plain=binding.plain,
            _recurrent=binding.recurrent,
            _recurrent_names=recurrent,
            _recurrent_of=_pick([places[name] for name in recurrent]),
            _own_of=_pick([places[name] for name in own]),
            _line_feeds=b"\n" * (len(own) - 1) if whole else _NEVER,
            _extensions=extensions,
            _core_of=itemgetter(*(own.index(name) if name in own else len(own) for name in _OWN)),
        )

    def event(self, values: Sequence[bytes], data: bytes | None) -> CloudEvent:
        """The event of these headers' values and this data; InvalidEvent if it breaks the specification."""
        try:
            event = self._plain_event(values, data)
        except (InvalidEvent, orjson.JSONDecodeError):  # below it is said what is wrong, if anything is
            event = None
        if event is None:
            attributes = {name: self._value_of(name, values[place]) for name, place in self.places.items()}
            event = checked(attributes, data)
            check_data(data, event.datacontenttype)
        return event

    def _plain_event(self, values: Sequence[bytes], data: bytes | None) -> CloudEvent | None:
        """The event, if its own values stand for themselves and are valid, as nearly all do and are."""
        own = b"\n".join(self._own_of(values))
        if own.translate(None, self._plain) != self._line_feeds:
            return None
        texts: list[Any] = [*own.decode().split("\n"), None]  # where an absent attribute is looked for
        event_id, subject, time = self._core_of(texts)
        if not event_id or subject == "" or not (time is None or is_ordinary_timestamp(time)):
            return None
        recurrent = self._recurrent((self._recurrent_names, self._recurrent_of(values)))
        source, event_type, datacontenttype, dataschema, promises_json = recurrent
        if promises_json and data is not None:
            orjson.loads(data)
        extensions = dict(zip(self._extensions, texts))  # noqa: B905 (the others stand behind them)
        return assembled(
            event_id, source, event_type, subject, time, datacontenttype, dataschema, data, extensions
        )


def _pick(places: Sequence[int]) -> Pick:
    return itemgetter(*places) if len(places) > 1 else lambda values: tuple(values[place] for place in places)
