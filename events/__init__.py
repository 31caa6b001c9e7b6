"""Hadal's facts and their envelope: CloudEvents 1.0, read strictly.

``CloudEvent`` is the envelope; ``events.http``, ``events.kafka`` and ``events.jsonformat`` carry it;
``events.catalogue`` knows every fact that the functions tell each other.
"""

from .cloudevent import CloudEvent, ExtensionValue
from .errors import EventTooLarge, InvalidEvent, UnknownFact
from .validation import validate

__all__ = ["CloudEvent", "EventTooLarge", "ExtensionValue", "InvalidEvent", "UnknownFact", "validate"]
