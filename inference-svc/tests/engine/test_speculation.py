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
    for rows in (*range(1, 21), 1, 20, 1, 20):
        speculation.costs.take(rows, fixed_s + row_s * rows)
    return speculation


def test_costs_follow_a_straight_line_also_where_it_changes() -> None:
    costs = known(row_s=0.5).costs
    for rows in (1, 7, 40):
        assert costs.estimate(rows) == pytest.approx(1 + 0.5 * rows, rel=0.02)
    for _ in range(60):
        costs.take(2, 4.0)
        costs.take(6, 5.0)
    assert costs.estimate(10) == pytest.approx(6, rel=0.05)


def test_a_step_that_was_held_up_counts_for_little() -> None:
    costs = known(row_s=0.5).costs
    costs.take(4, 1_000.0)
    assert costs.estimate(4) < 4


def test_without_other_counts_of_rows_a_row_is_taken_to_cost_little() -> None:
    costs = StepCosts()
    for _ in range(20):
        costs.take(1, 0.011)
    assert costs.estimate(1) == pytest.approx(0.011)
    assert costs.estimate(5) == pytest.approx(0.015)


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
