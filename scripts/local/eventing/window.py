"""What one Trigger has read of its Broker's log and not yet done, and what of it may be sent now."""

from __future__ import annotations

from collections import deque

from .log import Checkpoint, Failure
from .record import Record

HELD_BYTES = 4 * 1_048_576
"""Events in memory a Trigger; what waits beyond it is read again from the log when its turn comes."""
OPEN_EVENTS = 100_000
"""Events begun and not done a Trigger: those in back-off, and those behind them with the same key."""
READ_AHEAD = 256
"""Events that may be sent at once and wait for a free place."""


class Item:
    """One event on its way: how often it was tried, why it failed, and which dead letter it was (0: none)."""

    __slots__ = ("failure", "key", "letter", "offset", "record", "tries")

    def __init__(self, record: Record, key: str | None, letter: int = 0) -> None:
        self.offset = record.offset
        self.key = key
        self.record: Record | None = record
        self.tries = 0
        self.failure: Failure | None = None
        self.letter = letter


class Window:
    """The open events of a Trigger.

    Where order is asked for, events of one key go one after the other: an open event, be it sent or in
    back-off, holds back the later ones of its key and no others. An event without a key waits for none.
    """

    def __init__(self, at: Checkpoint, *, ordered: bool) -> None:
        self.position = at.position
        """The next offset to read."""
        self.unread = deque(at.open)
        """What was open at the last start and is to be read again, before anything else."""
        self._broker = at.broker
        self._ordered = ordered
        self._open: dict[int, Item] = {}
        self._again: dict[int, Item] = {}  # dead letters that are delivered once more
        self._ready: deque[Item] = deque()
        self._lanes: dict[str, deque[Item]] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._again) + len(self.unread)

    @property
    def lowest(self) -> int:
        """The lowest offset that is still needed."""
        return min((*self._open, *self.unread), default=self.position)

    @property
    def room_bytes(self) -> int:
        """How much more may be read now; 0 while enough waits to be sent."""
        if len(self._ready) >= READ_AHEAD or len(self._open) >= OPEN_EVENTS:
            return 0
        return max(HELD_BYTES - self._held_bytes, 0)

    @property
    def ready(self) -> int:
        """How many may be sent now."""
        return len(self._ready)

    def admit(self, record: Record, letter: int = 0) -> bool:
        """Take an event in (`letter`: the dead letter that it is); False for one that is open already."""
        items = self._again if letter else self._open
        if record.offset in items:
            return False
        item = Item(record, record.key if self._ordered else None, letter)
        items[record.offset] = item
        self._held_bytes += record.size_bytes
        if item.key is None:
            self._ready.append(item)
        elif item.key in self._lanes:
            self._lanes[item.key].append(item)
            self.rest(item)
        else:
            self._lanes[item.key] = deque()
            self._ready.append(item)
        return True

    def take(self) -> Item | None:
        """The next event to send."""
        return self._ready.popleft() if self._ready else None

    def hold(self, item: Item, record: Record) -> None:
        """Its event is in memory (again)."""
        item.record = record
        self._held_bytes += record.size_bytes

    def rest(self, item: Item) -> None:
        """It waits for a while: where memory is short its event is forgotten."""
        if item.record is not None and not item.letter and self._held_bytes > HELD_BYTES // 2:
            self._held_bytes -= item.record.size_bytes
            item.record = None

    def resume(self, item: Item) -> None:
        """Its back-off is over: it goes before what came later."""
        self._ready.appendleft(item)

    def done(self, item: Item) -> None:
        """It is acknowledged or given up: the next one of its key may go."""
        (self._again if item.letter else self._open).pop(item.offset, None)
        if item.record is not None:
            self._held_bytes -= item.record.size_bytes
            item.record = None
        if item.key is None:
            return
        lane = self._lanes[item.key]
        if lane:
            self._ready.append(lane.popleft())
        else:
            del self._lanes[item.key]

    def checkpoint(self) -> Checkpoint:
        """Where a restart would go on."""
        return Checkpoint(self._broker, self.position, tuple(sorted((*self._open, *self.unread))))
