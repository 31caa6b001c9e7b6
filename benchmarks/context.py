"""What reading a conversation's context costs at 50 turns and at 5,000, cold from the store.

Both are read after each of the next turns, over some periods of snapshots and summaries (the cost depends on
how many facts have come since), by a process that remembers nothing; the figure is the mean. They are
summarised as they go, as `summarize` does; the last rows show the same where it never has.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks._frame import Row, Table
from events.chat import Item, TurnCompleted, TurnStarted, Usage
from events.fact import Fact
from functions._runtime.clock import SystemClock, SystemIds
from functions._runtime.ports import EventStore
from functions._runtime.store import open_store
from functions.chat import commands
from functions.chat.background import Background
from functions.chat.context import fitting_turns, prompt
from functions.chat.conversations import SNAPSHOT_EVERY_VERSIONS, Conversations
from functions.chat.model import Conversation
from functions.chat.snapshots import Snapshots

SHORT, LONG = 50, 5_000
BAR_RATIO = 1.2
THRESHOLD_TOKENS = 3_000
WINDOW_TOKENS = 7_168
READS = 5
TENANT = "team"
QUESTION = "How deep is the hadal zone, and what lives down there? " * 2
ANSWER = "It begins at about 6,000 metres; amphipods, snailfish and sea cucumbers live there. " * 3

PERIOD_TURNS = 2 * SNAPSHOT_EVERY_VERSIONS


@dataclass(frozen=True, slots=True)
class Stores:
    """What a process opens once."""

    events: EventStore
    snapshots: Snapshots


async def main() -> Table:
    """Measure with and without summaries."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:{Path(folder, 'chat.db')}") as store:
            stores = Stores(store.event_store("conversations"), Snapshots(store.documents("snapshots")))
            short, long = await _costs_us(stores, summarised=True)
            short_bare, long_bare = await _costs_us(stores, summarised=False)
    rows = [
        Row(f"a context of {SHORT:,} turns", short, "us"),
        Row(f"a context of {LONG:,} turns", long, "us"),
        Row("the long one to the short one", long / short, "x", BAR_RATIO),
        Row(f"never summarised, {SHORT:,} turns", short_bare, "us"),
        Row(f"never summarised, {LONG:,} turns", long_bare, "us", note="bounded by what a state remembers"),
    ]
    return Table("Reading a conversation's context, cold from SQLite", rows)


async def _costs_us(stores: Stores, *, summarised: bool) -> tuple[float, float]:
    """The mean over the period of the median at each turn, of a short and of a long conversation."""
    names = [SystemIds().new("conv"), SystemIds().new("conv")]
    for name, turns in zip(names, (SHORT, LONG), strict=True):
        await _written(stores, name, turns, summarised)
    medians: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(PERIOD_TURNS):
        read: dict[str, list[float]] = {name: [] for name in names}
        for name in names * READS:  # by turns, so that both meet the same neighbours on the machine
            read[name].append(await _read_us(stores, name))
        for name in names:
            medians[name].append(statistics.median(read[name]))
            await _written(stores, name, 1, summarised)
    short, long = (statistics.mean(medians[name]) for name in names)
    return short, long


async def _read_us(stores: Stores, name: str) -> float:
    conversations = _process(stores)[0]
    began = time.perf_counter()
    state = await conversations.load(TENANT, name)
    asked = [Item("msg_1", "user", QUESTION)]
    prompt(state, fitting_turns(state, asked, WINDOW_TOKENS), asked)
    return (time.perf_counter() - began) * 1e6


async def _written(stores: Stores, name: str, turns: int, summarised: bool) -> None:
    """That many turns more, in as few appends as a summary now and then allows."""
    conversations, background = _process(stores)
    numbers = count()
    while turns:
        at_once = min(turns, 8)
        turns -= at_once

        def more(state: Conversation, at_once: int = at_once) -> Sequence[Fact]:
            started = [] if state.version else commands.start(state, "ann", {}, [])
            return [*started, *(fact for _ in range(at_once) for fact in _turn(name, next(numbers)))]

        state = await conversations.change(TENANT, name, more)
        if summarised and state.summary_due(THRESHOLD_TOKENS):
            await conversations.change(TENANT, name, _summarised)
    await background.drain()


def _summarised(state: Conversation) -> Sequence[Fact]:
    return commands.adopt_summary(state, "They speak of the deep. " * 30, state.to_summarize[-1].version)


def _turn(name: str, number: int) -> tuple[Fact, Fact]:
    turn_id = f"turn_{number}"
    asked, answer = Item("msg_1", "user", QUESTION), Item("msg_2", "assistant", ANSWER)
    return (
        TurnStarted(name, turn_id, "instant", (asked,), "2026-01-01T00:00:00Z"),
        TurnCompleted(name, turn_id, "instant", (answer,), "stop", Usage(30, 60)),
    )


def _process(stores: Stores) -> tuple[Conversations, Background]:
    """As a process begins: nothing remembered."""
    background = Background()
    conversations = Conversations(
        stores.events,
        stores.snapshots,
        SystemClock(),
        SystemIds(),
        background,
        threshold_tokens=THRESHOLD_TOKENS,
    )
    return conversations, background
