"""Brokers, Triggers, delivery, dead letters and sources of one machine (Knative Eventing, docs in `docs/`).

events in ──> ingress ──> log (fsync) ──> a subscription a Trigger ──> subscriber
               ^                            │ filter, window, retry        │
               └──────── replies ───────────┼──────────────────────────────┘
                                            └──> dead letters
"""

from __future__ import annotations

from .eventing import Eventing
from .log import DeadLetter, Failure, LogRefused
from .problems import problems
from .record import Record
from .retention import Retention
from .sinks import SinkError, Sinks, sink_environment, url_of
from .subscriber import Services
from .subscriptions import TriggerStatus

__all__ = [
    "DeadLetter",
    "Eventing",
    "Failure",
    "LogRefused",
    "Record",
    "Retention",
    "Services",
    "SinkError",
    "Sinks",
    "TriggerStatus",
    "problems",
    "sink_environment",
    "url_of",
]
