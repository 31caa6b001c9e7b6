"""What `/metrics` shows, in Prometheus' text format; names by Prometheus' conventions.

Labels are bounded: a route is its pattern, an event's type one of those the function handles. A function has
one worker process, so one registry is the whole truth.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """A function's registry, and the figures that every function keeps; its own ones join `registry`."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hadal_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._durations = Histogram(
            "hadal_request_duration_seconds",
            "From a request's head to the last byte of its answer.",
            ("route",),
            buckets=_DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._in_flight = Gauge("hadal_requests_in_flight", "Requests being served.", registry=self.registry)
        self._events = Counter(
            "hadal_events", "Events by what became of them.", ("type", "outcome"), registry=self.registry
        )
        self._requests_of: dict[tuple[str, str, int], Counter] = {}
        self._durations_of: dict[str, Histogram] = {}

    def started(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def answered(self, method: str, route: str, status: int, duration_s: float) -> None:
        """A request is done; `route` is the pattern."""
        self._in_flight.dec()
        key = (method, route, status)
        counter = self._requests_of.get(key)
        if counter is None:  # `labels` checks and locks; its result is kept
            counter = self._requests_of[key] = self._requests.labels(method, route, str(status))
            self._durations_of[route] = self._durations.labels(route)
        counter.inc()
        self._durations_of[route].observe(duration_s)

    def event(self, type_: str, outcome: str) -> None:
        """What became of an event: `type_` is a handled one or `other`."""
        self._events.labels(type_, outcome).inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
