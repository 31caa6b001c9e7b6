from __future__ import annotations

from scripts.local.eventing.concurrency import LEAST, MOST, Concurrency


def test_a_subscriber_that_has_too_much_to_do_gets_half_and_never_nothing() -> None:
    one = Concurrency()
    one.overloaded()
    assert one.places == MOST // 2
    for _ in range(20):
        one.overloaded()
    assert one.places == LEAST


def test_each_delivery_wins_a_place_back_up_to_the_most() -> None:
    one = Concurrency()
    one.overloaded()
    one.taken()
    assert one.places == MOST // 2 + 1
    for _ in range(2 * MOST):
        one.taken()
    assert one.places == MOST
