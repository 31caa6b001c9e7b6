"""How many replicas a load asks for, on a clock of the test's own."""

from __future__ import annotations

import pytest

from scripts.local.manifests.model import Scaling
from scripts.local.serving.autoscaler import MAX_SCALE_HERE, Autoscaler
from scripts.local.serving.load import Load


def loaded(scaling: Scaling, requests: int, for_s: float, ready: int = 1) -> tuple[Autoscaler, int]:
    """An autoscaler that has looked every 2 s while so many requests were there, and its last word."""
    autoscaler = Autoscaler(scaling)
    autoscaler.begin(100.0)
    autoscaler.load.change(100.0, requests)
    wanted, now = 0, 100.0
    while now < 100.0 + for_s:
        now += 2.0
        wanted = autoscaler.wanted(now, ready)
    return autoscaler, wanted


def test_an_average_is_over_the_time_of_the_window() -> None:
    load = Load(60)
    load.begin(0)
    load.change(0, 10)
    load.sample(10)
    load.change(10, -10)
    load.sample(20)
    assert load.average(20, 60) == pytest.approx(5.0)
    assert load.average(20, 10) == pytest.approx(0.0)
    assert load.average(20, 15) == pytest.approx(5.0)  # samples are what windows begin at


def test_a_rate_counts_what_comes_and_not_how_long_it_stays() -> None:
    load = Load(60, rate=True)
    load.begin(0)
    for number in range(20):
        load.change(number / 10, 1)
        load.change(number / 10, -1)
    load.sample(2)
    assert load.average(2, 60) == pytest.approx(10.0)


def test_samples_are_no_more_than_the_window_needs() -> None:
    load = Load(60)
    load.begin(0)
    for number in range(1_000):
        load.change(number * 2.0, 1 if number % 2 else -1)
        load.sample(number * 2.0)
    assert len(load._samples) < 40


@pytest.mark.parametrize(("requests", "replicas"), [(1, 1), (70, 1), (71, 2), (140, 2), (141, 3)])
def test_replicas_are_the_load_over_what_one_should_bear(requests: int, replicas: int) -> None:
    assert loaded(Scaling(target=100, utilisation=0.7), requests, 70, ready=replicas)[1] == replicas


def test_a_request_that_waits_counts_at_once() -> None:
    autoscaler = Autoscaler(Scaling(target=1, utilisation=1))
    autoscaler.load.change(0, 3)
    assert autoscaler.at_once() == 3


def test_scales_are_bounds() -> None:
    assert loaded(Scaling(target=1, utilisation=1, max_scale=4), 50, 70)[1] == 4
    assert loaded(Scaling(target=1, utilisation=1), 50, 70)[1] == MAX_SCALE_HERE
    assert loaded(Scaling(min_scale=2), 0, 200)[1] == 2


def test_an_activation_scale_is_the_least_that_is_not_zero() -> None:
    autoscaler, wanted = loaded(Scaling(activation_scale=3), 1, 10)
    assert wanted == 3
    assert autoscaler.at_once() == 3


def test_an_initial_scale_holds_for_the_first_window() -> None:
    scaling = Scaling(initial_scale=4, window_s=30)
    assert loaded(scaling, 0, 28, ready=4)[1] == 4
    assert loaded(scaling, 0, 32, ready=0)[1] == 0


def test_the_last_replica_goes_when_window_and_retention_are_over() -> None:
    autoscaler = Autoscaler(Scaling(window_s=60, retention_s=90))
    autoscaler.begin(0.0)
    autoscaler.load.change(0.0, 1)
    autoscaler.load.change(10.0, -1)
    assert autoscaler.zero_at() == 160.0
    assert autoscaler.wanted(75.0, 1) == 1
    assert autoscaler.wanted(159.0, 1) == 1
    assert autoscaler.wanted(160.0, 1) == 0


def test_a_burst_panics_and_while_it_does_nothing_is_taken_away() -> None:
    autoscaler = Autoscaler(Scaling(target=10, utilisation=1, window_s=60))
    autoscaler.begin(0.0)
    autoscaler.load.change(0.0, 1)
    for now in range(2, 62, 2):
        assert autoscaler.wanted(float(now), 1) == 1
    autoscaler.load.change(60.0, 79)
    assert autoscaler.wanted(66.0, 1) == 8  # six seconds of 80 over ten each; the whole window says two
    autoscaler.load.change(66.0, -79)
    assert autoscaler.wanted(80.0, 8) == 8
    later = 66.0 + 60.0 + 2.0
    assert autoscaler.wanted(later, 8) == 4  # half at a time
    assert autoscaler.wanted(later + 2, 4) == 2


def test_a_scale_down_waits_for_its_delay() -> None:
    autoscaler = Autoscaler(Scaling(target=1, utilisation=1, window_s=6, scale_down_delay_s=30))
    autoscaler.begin(0.0)
    autoscaler.load.change(0.0, 4)
    assert autoscaler.wanted(6.0, 4) == 4
    autoscaler.load.change(6.0, -3)
    assert autoscaler.wanted(20.0, 4) == 4
    assert autoscaler.wanted(36.0, 4) == 4
    assert autoscaler.wanted(60.0, 4) == 2
