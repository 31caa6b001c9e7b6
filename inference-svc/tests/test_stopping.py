from __future__ import annotations

import pytest

from inference.stopping import StopSequences


def run(stops: tuple[str, ...], pieces: list[str]) -> tuple[list[str], str | None]:
    sequences = StopSequences(stops)
    shown: list[str] = []
    for piece in pieces:
        release = sequences.push(piece)
        shown.append(release.text)
        if release.matched:
            return shown, release.matched
    return [*shown, sequences.flush()], None


def test_without_stop_sequences_everything_is_released_at_once() -> None:
    assert run((), ["a", "bc"]) == (["a", "bc", ""], None)


def test_a_stop_sequence_over_three_tokens_is_held_back_and_never_shown() -> None:
    assert run(("STOP",), ["text S", "TO", "P more"]) == (["text ", "", ""], "STOP")


def test_what_only_looked_like_a_stop_sequence_is_released_when_it_isnt_one() -> None:
    assert run(("STOP",), ["a ST", "ART"]) == (["a ", "START", ""], None)


def test_what_was_held_back_at_the_end_is_released() -> None:
    assert run(("STOP",), ["a STO"]) == (["a ", "STO"], None)


def test_a_stop_sequence_inside_a_token_cuts_the_token() -> None:
    assert run(("\n",), ["one\ntwo"]) == (["one"], "\n")


def test_the_earliest_match_wins_and_of_two_at_one_place_the_longer() -> None:
    assert run(("bc", "b", "d"), ["abcd"]) == (["a"], "bc")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_self_overlapping_sequence_is_found_however_the_text_is_cut(size: int) -> None:
    text = "xaaabaaaab!"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    shown, matched = run(("aaaab",), pieces)
    assert ("".join(shown), matched) == ("xaaab", "aaaab")
