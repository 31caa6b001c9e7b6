from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.blocks import NOTHING, BlockPool

SIZE = 4


def test_a_prefix_is_found_by_its_tokens_and_held_by_both() -> None:
    pool = BlockPool(8, SIZE)
    blocks = pool.take(2)
    assert blocks == [0, 1]
    prefix = pool.remember(0, NOTHING, (1, 2, 3, 4))
    pool.remember(1, prefix, (5, 6, 7, 8))
    found, _ = pool.find((1, 2, 3, 4, 5, 6, 7, 8, 9))
    assert found == [0, 1]
    pool.release(blocks)
    assert pool.free == 6
    pool.release(found)
    assert pool.free == 8


def test_the_same_tokens_behind_another_prefix_are_not_found() -> None:
    pool = BlockPool(8, SIZE)
    pool.take(2)
    prefix = pool.remember(0, NOTHING, (1, 2, 3, 4))
    pool.remember(1, prefix, (5, 6, 7, 8))
    assert pool.find((5, 6, 7, 8))[0] == []
    assert pool.find((9, 9, 9, 9, 5, 6, 7, 8))[0] == []


def test_what_was_computed_under_one_adapter_is_found_under_no_other() -> None:
    pool = BlockPool(8, SIZE)
    pool.take(4)
    tokens = (1, 2, 3, 4, 5, 6, 7, 8)
    for first, adapter in ((0, None), (2, "a")):
        found, prefix = pool.find(tokens, adapter)
        assert found == []
        prefix = pool.remember(first, prefix, tokens[:4])
        pool.remember(first + 1, prefix, tokens[4:])
    assert pool.find(tokens)[0] == [0, 1]
    assert pool.find(tokens, "a")[0] == [2, 3]
    assert pool.find(tokens, "b")[0] == []


def test_what_is_free_is_remembered_until_its_block_is_given_out() -> None:
    pool = BlockPool(2, SIZE)
    blocks = pool.take(1)
    assert blocks is not None
    pool.remember(blocks[0], NOTHING, (1, 2, 3, 4))
    pool.release(blocks)
    again, _ = pool.find((1, 2, 3, 4))
    assert again == blocks
    pool.release(again)
    pool.take(2)
    assert pool.find((1, 2, 3, 4))[0] == []


def test_more_than_there_is_takes_nothing() -> None:
    pool = BlockPool(3, SIZE)
    assert pool.take(4) is None
    assert pool.free == 3


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 1), max_size=20)), max_size=60))
def test_every_block_is_free_or_held_whatever_happens(story: list[tuple[bool, list[int]]]) -> None:
    pool = BlockPool(8, SIZE)
    held: list[list[int]] = []
    for comes, tokens in story:
        if comes:
            found, prefix = pool.find(tokens)
            more = pool.take(pool.blocks_for(len(tokens)) - len(found))
            if more is None:
                pool.release(found)
                continue
            for place, index in enumerate(more, len(found)):
                part = tokens[place * SIZE : (place + 1) * SIZE]
                if len(part) == SIZE:
                    prefix = pool.remember(index, prefix, part)
            held.append(found + more)
        elif held:
            pool.release(held.pop(0))
        assert pool.free + len({index for blocks in held for index in blocks}) == pool.blocks
