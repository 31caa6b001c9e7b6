from __future__ import annotations

import pytest

from inference.engine.guesses import Guesses
from inference.engine.speculation import Speculation, StepCosts


def repeating(acceptance: float) -> Guesses:
    guesses = Guesses([1, 2, 3, 4, 5, 6, 7, 1, 2, 3], 10)
    guesses.follow()
    guesses.acceptance = acceptance
    return guesses


def known(row_s: float, fixed_s: float = 1.0, most: int = 8) -> Speculation:
    """After steps of 1 to 20 rows."""
    speculation = Speculation(most)
    for rows in (1, 1, 1, 1, *range(20, 0, -1)):
        speculation.costs.take(rows, fixed_s + row_s * rows)
    return speculation


def test_the_first_steps_are_not_counted() -> None:
    costs = StepCosts()
    for seconds in (90.0, 90.0, 90.0, 90.0, 2.0):
        costs.take(1, seconds)
    assert costs.estimate(1) == 2.0


def test_between_counts_of_rows_costs_lie_on_a_straight_line_and_each_count_keeps_its_own() -> None:
    costs = StepCosts()
    for rows, seconds in ((1, 1.0), (1, 1.0), (1, 1.0), (1, 1.0), (1, 1.0), (9, 1.8), (3, 1.8)):
        costs.take(rows, seconds)
    assert [costs.estimate(rows) for rows in (1, 2, 3, 6, 9)] == pytest.approx([1.0, 1.4, 1.8, 1.8, 1.8])
    assert costs.estimate(19) == pytest.approx(1.8 * 29 / 19)


def test_costs_follow_what_is_measured_and_a_step_that_was_held_up_counts_for_little() -> None:
    costs = known(row_s=0.5).costs
    costs.take(4, 1_000.0)
    assert costs.estimate(4) < 4
    for _ in range(30):
        costs.take(4, 2.0)
    assert costs.estimate(4) == pytest.approx(2.0, rel=0.01)


def test_now_and_then_a_step_goes_without_guesses_to_know_what_they_gain() -> None:
    speculation = known(row_s=0.001)
    lengths = []
    for _ in range(100):
        (draft,) = speculation.drafts([repeating(0.9)], [100], 100)
        lengths.append(len(draft))
        speculation.costs.take(1 + len(draft), 1.001 + 0.001 * len(draft))
    assert 3 <= lengths.count(0) <= 4
    assert lengths.count(8) == 100 - lengths.count(0)


def test_a_price_that_has_risen_long_ago_is_asked_again() -> None:
    """Nine rows were dear once; what is measured later for fewer doesn't tell, so they are tried anew."""
    speculation = known(row_s=0.001)
    for _ in range(40):
        speculation.costs.take(9, 50.0)
    tried = 0
    for _ in range(700):
        (draft,) = speculation.drafts([repeating(0.9)], [100], 100)
        tried += len(draft) == 8
        speculation.costs.take(1 + len(draft), 1.0)
    assert tried > 0


@pytest.mark.parametrize(
    ("acceptance", "row_s", "lengths"),
    [
        (0.9, 0.001, [8]),  # rows cost nothing
        (0.9, 10.0, [0]),  # a row costs what a step costs
        (0.3, 1.0, [0]),
        (0.0, 0.0, [0]),
    ],
)
def test_drafts_are_as_long_as_they_pay(acceptance: float, row_s: float, lengths: list[int]) -> None:
    drafts = known(row_s).drafts([repeating(acceptance)], [100], 100)
    assert [len(draft) for draft in drafts] == lengths


def test_a_dearer_row_makes_drafts_shorter() -> None:
    lengths = [len(known(row_s).drafts([repeating(0.8)], [100], 100)[0]) for row_s in (0.02, 0.1, 0.3)]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == 3
    assert min(lengths) > 0


def test_the_likelier_answer_gets_the_drafts() -> None:
    sure, unsure = known(0.25).drafts([repeating(0.95), repeating(0.2)], [100, 100], 100)
    assert len(sure) > 2
    assert not unsure


def test_drafts_stay_within_what_an_answer_may_still_have_and_within_the_step() -> None:
    answers = [repeating(0.9), repeating(0.9)]
    assert [len(draft) for draft in known(0.001).drafts(answers, [2, 100], 100)] == [2, 8]
    assert sum(len(draft) for draft in known(0.001).drafts(answers, [9, 9], 5)) == 5
    assert known(0.001).drafts([repeating(0.9)], [0], 100) == [[]]


def test_nothing_is_guessed_before_costs_are_known() -> None:
    assert Speculation(8).drafts([repeating(0.9)], [100], 100) == [[]]
