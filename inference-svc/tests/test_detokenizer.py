from __future__ import annotations

import pytest

from inference.detokenizer import REPLACEMENT, Detokenizer
from tests.byte_tokenizer import END, ids_of, make_byte_tokenizer

tokenizer = make_byte_tokenizer()


def pieces_of(ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(token_id) for token_id in ids), detokenizer.flush()]


LONE_CONTINUATION = ids_of(tokenizer, "é")[1]  # the second byte of a character, by itself no text


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "🌊🐋", "👩‍👩‍👧", "a\u0301e", " \n\t "])
def test_the_pieces_add_up_to_the_text_and_none_has_a_broken_character(text: str) -> None:
    pieces = pieces_of(ids_of(tokenizer, text))
    assert "".join(pieces) == text
    assert not any(REPLACEMENT in piece for piece in pieces)


def test_a_character_comes_with_its_last_token() -> None:
    assert pieces_of(ids_of(tokenizer, "🌊")) == ["", "", "", "🌊", ""]


def test_a_character_that_is_never_completed_comes_out_broken_at_the_end() -> None:
    pieces = pieces_of(ids_of(tokenizer, "a🌊")[:-1])
    assert "".join(pieces).startswith("a")
    assert set("".join(pieces)[1:]) == {REPLACEMENT}


def test_bytes_that_are_no_text_are_not_held_for_ever() -> None:
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(LONE_CONTINUATION) for _ in range(40)]
    assert sum(map(len, pieces)) == 40
    assert detokenizer.push(ids_of(tokenizer, "x")[0]) == "x"


def test_a_character_after_broken_bytes_is_not_lost() -> None:
    broken = [LONE_CONTINUATION] * 4
    assert "".join(pieces_of(broken + ids_of(tokenizer, "é!"))).endswith("é!")


def test_a_real_replacement_character_is_text_like_any_other() -> None:
    text = f"a{REPLACEMENT}b{REPLACEMENT}"
    assert "".join(pieces_of(ids_of(tokenizer, text))) == text


def test_a_special_token_has_no_text_but_releases_what_came_before_it() -> None:
    end_id = tokenizer.token_id(END)
    assert end_id is not None
    assert pieces_of([*ids_of(tokenizer, "é")[:1], end_id])[:2] == ["", REPLACEMENT]
