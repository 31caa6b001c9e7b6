"""What a Trigger of the manifests means, worked out."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.local.manifests.model import Broker, Trigger

from .classes import CLASSES
from .filters import Selection, selection
from .retry import RetryPolicy, retry_policy
from .sinks import Sink, Sinks


@dataclass(frozen=True, slots=True)
class Route:
    """What a Trigger says: which events, in which order, where to, how persistently."""

    trigger: str
    namespace: str
    selection: Selection
    ordered: bool
    sink: Sink
    policy: RetryPolicy
    dead_letter_sink: Sink | None

    @property
    def name(self) -> str:
        """`<namespace>/<trigger>`."""
        return f"{self.namespace}/{self.trigger}"


def route_of(trigger: Trigger, broker: Broker, sinks: Sinks) -> Route:
    """A Trigger of `broker`, compiled. `SinkError` where it leads nowhere; `problems` finds that before."""
    policy = retry_policy(CLASSES[broker.klass], trigger.delivery, broker.delivery)
    dead = policy.dead_letter_sink
    return Route(
        trigger.name,
        trigger.namespace,
        selection(trigger),
        trigger.ordered,
        sinks.resolve(trigger.subscriber, trigger.namespace),
        policy,
        sinks.resolve(dead, trigger.namespace) if dead else None,
    )
