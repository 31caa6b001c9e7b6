"""When a delivery is tried again (Knative's DeliverySpec, and the retry table of its dispatchers)."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.local.manifests.model import Delivery, Destination

from .classes import BrokerClass, Policy

CLUSTER_DEFAULT = Delivery(retry=10, backoff_policy="exponential", backoff_delay_s=0.2)
"""What `config-br-defaults` gives a Broker that has no `delivery`."""
UNBOUNDED_S = 600.0
"""The time a subscriber has where no `timeout` says it: no Service may answer for longer."""
RETRIED_4XX = frozenset((404, 408, 409, 429))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how far apart, how long each, and where an event goes in the end."""

    klass: BrokerClass
    retries: int
    policy: Policy
    delay_s: float
    timeout_s: float
    dead_letter_sink: Destination | None

    def back_off_s(self, retry: int) -> float | None:
        """The wait before retry 1, 2 and so on; None where there is none any more."""
        return self.klass.back_off_s(self.policy, self.delay_s, retry) if retry <= self.retries else None


def retry_policy(klass: BrokerClass, trigger: Delivery, broker: Delivery) -> RetryPolicy:
    """The Trigger's word, else the Broker's; for a Broker without `delivery` the cluster's default."""
    if broker == Delivery():
        broker = CLUSTER_DEFAULT
    retries = trigger.retry if trigger.retry is not None else broker.retry
    delay_s = trigger.backoff_delay_s if trigger.backoff_delay_s is not None else broker.backoff_delay_s
    return RetryPolicy(
        klass,
        retries or 0,
        trigger.backoff_policy or broker.backoff_policy or "exponential",
        0.2 if delay_s is None else delay_s,
        trigger.timeout_s or broker.timeout_s or UNBOUNDED_S,
        trigger.dead_letter_sink or broker.dead_letter_sink,
    )


def is_retried(status: int) -> bool:
    """Whether an answer with this status, none of 2xx, may be another one later."""
    return status >= 500 or status in RETRIED_4XX
