from __future__ import annotations

import pytest

from scripts.local.eventing.classes import CLASSES
from scripts.local.eventing.retry import is_retried, retry_policy
from scripts.local.manifests.model import Delivery, Destination

from .harness import HERE


@pytest.mark.parametrize(
    ("klass", "policy", "gaps"),
    [
        ("Kafka", "linear", [0.3, 0.6, 0.9]),
        ("Kafka", "exponential", [0.6, 1.2, 2.4]),
        ("MTChannelBasedBroker", "linear", [0.0, 0.3, 0.6]),
        ("MTChannelBasedBroker", "exponential", [0.3, 0.6, 1.2]),
    ],
)
def test_the_gaps_are_those_measured_on_real_brokers(klass: str, policy: str, gaps: list[float]) -> None:
    chosen = retry_policy(
        CLASSES[klass],
        Delivery(retry=3, backoff_policy=policy, backoff_delay_s=0.3),  # type: ignore[arg-type]
        Delivery(),
    )
    assert [chosen.back_off_s(retry) for retry in (1, 2, 3)] == pytest.approx(gaps)
    assert chosen.back_off_s(4) is None


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 501, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert is_retried(status)


@pytest.mark.parametrize("status", [300, 301, 307, 400, 401, 403, 405, 410, 413, 422, 425, 451])
def test_what_is_for_good_is_not_tried_again(status: int) -> None:
    assert not is_retried(status)


def test_a_silent_broker_gets_the_clusters_default() -> None:
    chosen = retry_policy(CLASSES["Kafka"], Delivery(), Delivery())
    assert (chosen.retries, chosen.policy, chosen.delay_s) == (10, "exponential", 0.2)


def test_a_trigger_overrides_its_broker_field_by_field() -> None:
    own, brokers = Destination(HERE, uri="http://own/"), Destination(HERE, uri="http://brokers/")
    of_broker = Delivery(
        retry=5, backoff_policy="linear", backoff_delay_s=1.0, timeout_s=7.0, dead_letter_sink=brokers
    )
    inherited = retry_policy(CLASSES["Kafka"], Delivery(retry=0), of_broker)
    assert (inherited.retries, inherited.policy, inherited.delay_s) == (0, "linear", 1.0)
    assert (inherited.timeout_s, inherited.dead_letter_sink) == (7.0, brokers)
    own_sink = retry_policy(CLASSES["Kafka"], Delivery(timeout_s=2.0, dead_letter_sink=own), of_broker)
    assert (own_sink.timeout_s, own_sink.dead_letter_sink) == (2.0, own)
    assert inherited.back_off_s(1) is None


def test_a_broker_that_says_something_but_no_retry_does_not_retry() -> None:
    assert retry_policy(CLASSES["Kafka"], Delivery(), Delivery(timeout_s=1.0)).retries == 0
