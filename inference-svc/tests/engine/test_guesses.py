from __future__ import annotations

import pytest

from inference.engine.guesses import Guesses


def test_what_followed_the_same_three_tokens_before_is_guessed_the_latest_first() -> None:
    tokens = [1, 2, 3, 4, 9, 1, 2, 3, 5, 6, 7, 1, 2, 3]
    guesses = Guesses(tokens, len(tokens))
    guesses.follow()
    assert guesses.is_ready
    assert guesses.next_tokens(4) == [5, 6, 7, 1]


def test_nothing_is_guessed_where_nothing_repeats() -> None:
    guesses = Guesses([1, 2, 3, 4, 2, 3], 6)
    guesses.follow()
    assert not guesses.is_ready
    assert guesses.next_tokens(3) == []


def test_a_guess_goes_on_beyond_the_last_token() -> None:
    guesses = Guesses([8, 1, 2, 1, 2, 1], 6)
    guesses.follow()
    assert guesses.next_tokens(5) == [2, 1, 2, 1, 2]


def test_a_place_that_was_right_is_followed_further_though_its_tokens_came_elsewhere_since() -> None:
    source = [1, 2, 3, 4, 5, 6, 7, 8]
    tokens = [*source, 30, 3, 4, 5, 40, 1, 2, 3]
    guesses = Guesses(tokens, len(tokens))
    guesses.follow()
    tokens += [4, 5]
    guesses.follow()
    assert guesses.next_tokens(3) == [6, 7, 8]


def test_acceptance_is_the_share_of_the_answers_tokens_that_were_guessed_right_of_late() -> None:
    tokens = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    guesses = Guesses(tokens, len(tokens))
    guesses.follow()
    assert guesses.acceptance == 0, "the prompt itself says nothing of the answer"
    tokens += [4, 5, 6]
    guesses.follow()
    assert guesses.acceptance == pytest.approx(1 - 0.8**3)
    tokens += [40]
    guesses.follow()
    right = guesses.acceptance
    assert right == pytest.approx((1 - 0.8**3) * 0.8)
    tokens += [41, 42]
    guesses.follow()
    assert guesses.acceptance == right, "without a guess there is nothing to learn"
