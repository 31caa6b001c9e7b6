from __future__ import annotations

from events import CloudEvent
from scripts.local.eventing.log import Checkpoint
from scripts.local.eventing.record import Record, record_of
from scripts.local.eventing.window import HELD_BYTES, OPEN_EVENTS, READ_AHEAD, Item, Window


def record(offset: int, key: str | None = None, size_bytes: int = 10) -> Record:
    extensions = {"partitionkey": key} if key else {}
    return record_of(
        CloudEvent(str(offset), "/s", "t", data=b"x" * size_bytes, extensions=extensions), offset, 0
    )


def window(position: int = 0, open_: tuple[int, ...] = (), *, ordered: bool = True) -> Window:
    return Window(Checkpoint("b", position, open_), ordered=ordered)


def take(one: Window) -> Item:
    item = one.take()
    assert item is not None
    return item


def test_the_checkpoint_is_the_position_and_what_is_open_below_it() -> None:
    one = window()
    for offset in range(4):
        one.admit(record(offset))
    one.position = 4
    first, second = take(one), take(one)
    one.done(second)
    assert one.checkpoint() == Checkpoint("b", 4, (0, 2, 3))
    one.done(first)
    assert one.lowest == 2


def test_what_was_open_at_the_last_start_stays_open_until_it_is_read_again_and_done() -> None:
    one = window(9, (2, 5))
    assert one.checkpoint() == Checkpoint("b", 9, (2, 5))
    one.admit(record(2))
    one.unread.popleft()
    assert one.checkpoint() == Checkpoint("b", 9, (2, 5))
    one.done(take(one))
    assert one.checkpoint() == Checkpoint("b", 9, (5,))
    assert one.lowest == 5


def test_later_events_of_a_key_wait_for_the_earlier_ones() -> None:
    one = window()
    for offset, key in enumerate("aab"):
        one.admit(record(offset, key))
    first, other = take(one), take(one)
    assert (first.offset, other.offset, one.take()) == (0, 2, None)
    one.rest(first)
    one.resume(first)
    assert take(one) is first
    one.done(first)
    assert take(one).offset == 1


def test_an_unordered_window_knows_no_keys() -> None:
    one = window(ordered=False)
    one.admit(record(0, "a"))
    one.admit(record(1, "a"))
    assert (take(one).offset, take(one).offset) == (0, 1)


def test_there_is_no_room_while_enough_waits_to_be_sent() -> None:
    one = window()
    for offset in range(READ_AHEAD):
        one.admit(record(offset))
    assert one.room_bytes == 0
    take(one)
    assert one.room_bytes > 0


def test_there_is_no_room_while_enough_is_in_memory() -> None:
    one = window()
    for offset in range(5):
        one.admit(record(offset, size_bytes=HELD_BYTES // 4))
    assert one.room_bytes == 0


def test_what_waits_is_forgotten_where_memory_is_short_so_that_others_can_be_read() -> None:
    one = window()
    for offset in range(40):
        one.admit(record(offset, "same key", size_bytes=HELD_BYTES // 8))
    assert one.room_bytes >= HELD_BYTES // 4
    items = []
    while item := one.take():
        items.append(item)
        if item.record is None:
            one.hold(item, record(item.offset, "same key"))
        one.done(item)
    assert [item.offset for item in items] == list(range(40))
    assert (len(one), one.room_bytes) == (0, HELD_BYTES)


def test_the_number_of_open_events_is_bounded() -> None:
    one = window()
    same = record(0, "same key")
    for offset in range(OPEN_EVENTS):
        one.admit(same._replace(offset=offset))
    assert one.room_bytes == 0


def test_a_dead_letter_that_is_delivered_again_is_no_part_of_the_checkpoint() -> None:
    one = window(10)
    assert one.admit(record(3, "k"), letter=1)
    assert not one.admit(record(3, "k"), letter=1)
    assert one.checkpoint() == Checkpoint("b", 10)
    one.done(take(one))
    assert len(one) == 0
