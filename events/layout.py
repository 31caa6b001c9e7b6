"""Binary mode's headers read in one go: which of them holds what, worked out once for each order of names.

A producer sends the same headers in the same order with every event. What can be said of the names alone is
therefore kept by order, and the values of a plainly valid event are looked at together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from .cloudevent import CloudEvent
from .validation import CORE_ORDER, REQUIRED, plain_event

_SEPARATOR = b"%"
_PLAIN = bytes(code for code in range(0x21, 0x7F) if code not in b'"%')


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an event's attributes stand among headers of certain names.

    ``attributes`` has every attribute with its place, ``datacontenttype`` among them; a header that isn't an
    event's is in none.
    """

    attributes: tuple[tuple[str, int], ...]
    content_type: int | None
    _extensions: tuple[str, ...]
    _pick: Callable[[Sequence[bytes]], tuple[bytes, ...]] | None  # None: a required attribute isn't there
    _separators: bytes
    _core_count: int
    _core: Callable[[Sequence[Any]], tuple[Any, ...]]

    @classmethod
    def of(cls, attributes: dict[str, int]) -> Layout:
        """The layout in which these attributes stand at these places."""
        core = [name for name in CORE_ORDER if name in attributes and name != "datacontenttype"]
        extensions = [name for name in attributes if name not in CORE_ORDER]
        whole = all(name in attributes for name in ("specversion", *REQUIRED))
        # Texts are read in this order: the core ones that are there, Content-Type's, None for absent ones.
        places = {name: place for place, name in enumerate([*core, "datacontenttype"])}
        return cls(
            attributes=tuple(attributes.items()),
            content_type=attributes.get("datacontenttype"),
            _extensions=tuple(extensions),
            _pick=itemgetter(*(attributes[name] for name in [*core, *extensions])) if whole else None,
            _separators=_SEPARATOR * (len(core) + len(extensions) - 1),
            _core_count=len(core),
            _core=itemgetter(*(places.get(name, len(core) + 1) for name in CORE_ORDER)),
        )

    def plain_event(
        self, values: Sequence[bytes], content_type: str | None, data: bytes | None
    ) -> CloudEvent | None:
        """The event, if it is plainly valid and every value reads as it stands; None: look one by one.

        Printable ASCII but quotation marks, percent signs and blanks reads alike in HTTP and in Kafka.
        """
        if self._pick is None:
            return None
        together = _SEPARATOR.join(self._pick(values))
        if together.translate(None, _PLAIN) != self._separators:
            return None
        texts: list[str | None] = together.decode("ascii").split("%")  # type: ignore[assignment]
        count = self._core_count
        extensions = dict(zip(self._extensions, texts[count:], strict=True))
        core = self._core((*texts[:count], content_type, None))
        return plain_event(self._extensions, core, extensions, data)
