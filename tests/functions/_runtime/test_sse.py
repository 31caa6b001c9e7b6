from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions._runtime.errors import BadGateway
from functions._runtime.sse import EVENT_LIMIT_BYTES, EventParser

STREAM = (
    b": hello\n\ndata: one\n\n\n\nevent: x\ndata:two\nid: 7\n\ndata: three\ndata: 3\n\n: keep-alive\n\n"
    b"data:  four \n\nretry: 5\n\ndata\n\ndata: unfinished"
)
EVENTS = [b"one", b"two", b"three\n3", b" four "]


def test_comments_empty_lines_and_other_fields_are_skipped() -> None:
    assert EventParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_the_pieces_and_line_ends_that_a_stream_comes_in_dont_matter(
    cuts: list[int], line_end: bytes
) -> None:
    text = STREAM.replace(b"\n", line_end)
    parser = EventParser()
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    events: list[bytes] = []
    for begin, end in pairwise(borders):
        events += parser.feed(text[begin:end])
    assert events == EVENTS


def test_an_endless_event_is_refused() -> None:
    parser = EventParser()
    with pytest.raises(BadGateway):
        for _ in range(20):
            parser.feed(b"data: " + b"x" * (EVENT_LIMIT_BYTES // 10))
