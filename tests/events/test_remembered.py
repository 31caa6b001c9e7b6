from __future__ import annotations

import pytest

from events.remembered import Texts, remembered


class Rule:
    """A rule that says how often it was asked, and refuses "bad"."""

    def __init__(self) -> None:
        self.asked: list[Texts] = []

    def __call__(self, texts: Texts) -> int:
        self.asked.append(texts)
        if texts == "bad":
            raise ValueError(texts)
        return len(self.asked)


def test_what_was_answered_before_isnt_asked_again() -> None:
    rule = Rule()
    answer = remembered(rule)
    assert [answer("a"), answer("b"), answer("a")] == [1, 2, 1]
    assert answer(("a", ("b", None))) == answer(("a", ("b", None))) == 3
    assert answer(("a", ("b", "None"))) == 4


def test_a_refusal_is_made_each_time() -> None:
    rule = Rule()
    answer = remembered(rule)
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            answer("bad")
    assert rule.asked == ["bad", "bad"]


@pytest.mark.parametrize("long", ["a" * 1_025, b"a" * 1_025, ("a", ("b" * 600, "c" * 600))])
def test_an_answer_about_long_texts_isnt_kept(long: Texts) -> None:
    rule = Rule()
    answer = remembered(rule)
    assert [answer(long), answer(long)] == [1, 2]


def test_strangers_texts_dont_fill_the_memory() -> None:
    rule = Rule()
    answer = remembered(rule)
    for number in range(5_000):
        answer(str(number))
    assert len(rule.asked) == 5_000
    kept = [number for number in reversed(range(5_000)) if answer(str(number)) <= 5_000]
    assert 0 < len(kept) <= 1_024
