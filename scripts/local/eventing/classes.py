"""Where Knative's two Broker classes differ, as measured on real ones (docs: Knative Eventing 1.23)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from events import CloudEvent

from .record import Header, Record

MAX_HOPS = 255
KAFKA_ATTRIBUTES = ("knativekafkapartition", "knativekafkaoffset")
PARTITION = (b"ce-knativekafkapartition", b"0")
"""The log is one partition, so an offset says which event it is."""
TTL_HEADER = b"ce-knativebrokerttl"
Policy = Literal["linear", "exponential"]


class BrokerClass(Protocol):
    """The behaviour that a class of Brokers has of its own."""

    @property
    def retries_non_events(self) -> bool:
        """Whether an answer that is neither empty nor an event is tried again before it is a dead letter."""

    @property
    def ingress_host(self) -> str:
        """The ingress' name inside."""

    @property
    def error_data_bytes(self) -> int:
        """How much of a refusal's body a dead letter bears."""

    def stored(self, event: CloudEvent, answered: Record | None = None) -> CloudEvent | None:
        """The event (a reply to `answered`) as the log keeps it; None for one that has made all its hops."""

    def for_subscriber(self, record: Record) -> tuple[Header, ...]:
        """The event's headers as a subscriber gets them."""

    def for_dead_letter(self, record: Record) -> tuple[Header, ...]:
        """The event's headers as a dead letter sink gets them."""

    def back_off_s(self, policy: Policy, delay_s: float, retry: int) -> float:
        """The wait before retry 1, 2 and so on."""


@dataclass(frozen=True, slots=True)
class KafkaClass:
    """Class `Kafka`: loops are unbounded, and subscribers see where in the log the event stands."""

    retries_non_events: bool = False
    ingress_host: str = "kafka-broker-ingress.knative-eventing.svc.cluster.local"
    error_data_bytes: int = 1_024

    def stored(self, event: CloudEvent, answered: Record | None = None) -> CloudEvent | None:
        """Without a place in some log, which a reply may have copied from what it answers."""
        if not any(name in event.extensions for name in KAFKA_ATTRIBUTES):
            return event
        kept = {name: value for name, value in event.extensions.items() if name not in KAFKA_ATTRIBUTES}
        return replace(event, extensions=kept)

    def for_subscriber(self, record: Record) -> tuple[Header, ...]:
        """With the place in the log."""
        return (*record.headers, PARTITION, (b"ce-knativekafkaoffset", b"%d" % record.offset))

    def for_dead_letter(self, record: Record) -> tuple[Header, ...]:
        """The same."""
        return self.for_subscriber(record)

    def back_off_s(self, policy: Policy, delay_s: float, retry: int) -> float:
        """Linear `delay * n`, exponential `delay * 2^n`."""
        return float(delay_s * retry if policy == "linear" else delay_s * 2**retry)


@dataclass(frozen=True, slots=True)
class ChannelClass:
    """Class `MTChannelBasedBroker`: an event makes 255 hops at most and bears when it arrived."""

    retries_non_events: bool = True
    ingress_host: str = "broker-ingress.knative-eventing.svc.cluster.local"
    error_data_bytes: int = 768
    """1,024 characters of base64. A real imc-dispatcher of Knative 1.23 panics over a body that is longer."""

    def stored(self, event: CloudEvent, answered: Record | None = None) -> CloudEvent | None:
        """With the hops that are left, and the time of its arrival (RFC 3339, UTC)."""
        left = (
            answered.attributes.get("knativebrokerttl")
            if answered
            else event.extensions.get("knativebrokerttl")
        )
        hops = MAX_HOPS if left is None or not str(left).lstrip("-").isdecimal() else int(left) - 1
        if hops <= 0:
            return None
        arrival = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        extensions = {**event.extensions, "knativebrokerttl": hops, "knativearrivaltime": arrival}
        return replace(event, extensions=extensions)

    def for_subscriber(self, record: Record) -> tuple[Header, ...]:
        """Without the hops."""
        return tuple(header for header in record.headers if header[0] != TTL_HEADER)

    def for_dead_letter(self, record: Record) -> tuple[Header, ...]:
        """With the hops."""
        return record.headers

    def back_off_s(self, policy: Policy, delay_s: float, retry: int) -> float:
        """Linear `delay * (n - 1)`, exponential `delay * 2^(n - 1)`."""
        return float(delay_s * (retry - 1) if policy == "linear" else delay_s * 2 ** (retry - 1))


CLASSES: dict[str, BrokerClass] = {"Kafka": KafkaClass(), "MTChannelBasedBroker": ChannelClass()}
