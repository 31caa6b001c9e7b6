"""The projection: whatever the deliveries do, what is read in the end is the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import CloudEvent, catalogue
from events.chat import TurnStarted
from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.errors import Unprocessable
from functions.history.handler import Project
from functions.history.items import shown as shown_as
from functions.history.readmodel import Generations
from tests.functions.history.world import deletion, generations, published, shown, story

STORY = published(story())


async def projected(events: list[CloudEvent], *, at_once: bool = False) -> Generations:
    made = generations()
    project = Project(made, asyncio.Condition())
    if at_once:
        await asyncio.gather(*(project(event) for event in events))
    else:
        for event in events:
            await project(event)
    return made


async def test_a_conversation_reads_as_it_was_told() -> None:
    made = await projected(STORY)
    model = await made.current()
    head, _ = await model.head("team", "conv_1")
    assert (head.position, head.owner, head.metadata, dict(head.parked)) == (
        len(STORY),
        "ada",
        {"topic": "whales"},
        {},
    )
    page = await model.page(head, after=None, limit=100, descending=False)
    assert page is not None
    assert [(item["content"][0]["text"], item["status"]) for item in page.entries] == [
        ("hello", "completed"),
        ("question 1", "completed"),
        ("answer 1", "completed"),
        ("question 2", "completed"),
        ("answ", "incomplete"),
        ("question 3", "incomplete"),  # its turn failed
        ("question 4", "completed"),
        ("answer 4", "completed"),
    ]


@given(order=st.permutations(STORY), repeated=st.lists(st.sampled_from(STORY), max_size=10))
async def test_order_and_repetition_make_no_difference(
    order: list[CloudEvent], repeated: list[CloudEvent]
) -> None:
    """Promises 40 and 42."""
    once = await projected(STORY)
    anyhow = await projected([*order, *repeated])
    assert await shown(anyhow) == await shown(once)


async def test_the_same_event_a_thousand_times_at_once_is_applied_once() -> None:
    """Promise 40."""
    made = await projected([*STORY[:2], *[STORY[2]] * 1_000], at_once=True)
    assert await shown(made) == await shown(await projected(STORY[:3]))


async def test_an_event_that_comes_too_early_waits_for_the_gap_to_close() -> None:
    """Promise 42."""
    made = await projected([STORY[0], STORY[2]])
    model = await made.current()
    head, _ = await model.head("team", "conv_1")
    assert (head.position, list(head.parked)) == (1, ["3"])
    await Project(made, asyncio.Condition())(STORY[1])
    assert await shown(made) == await shown(await projected(STORY[:3]))


async def test_a_deleted_conversation_keeps_no_items_and_is_listed_no_more() -> None:
    made = await projected(published([*story(), deletion()]))
    model = await made.current()
    head, _ = await model.head("team", "conv_1")
    page = await model.page(head, after=None, limit=100, descending=False)
    assert page is not None
    assert (head.deleted, head.metadata, page.entries) == (True, {}, [])
    assert await model.conversations("team", "ada", after=None, limit=10, descending=True) == ([], False)


async def test_a_slow_replica_does_not_undo_what_another_has_marked() -> None:
    made = await projected(STORY)
    before = await shown(made)
    model = await made.current()
    started = catalogue.from_event(STORY[6])
    assert isinstance(started, TurnStarted)
    at_start = replace((await model.head("team", "conv_1"))[0], position=7)
    await model.put_items(at_start, [each for item in started.items for each in shown_as(item, "completed")])
    assert await shown(made) == before


async def test_a_fact_of_a_later_program_counts_as_a_version_and_changes_nothing() -> None:
    unknown = replace(STORY[1], type="dev.hadal.chat.message_pinned.v1", data=b'{"new": true}')
    made = await projected([STORY[0], unknown, *STORY[2:]])
    head, _ = await (await made.current()).head("team", "conv_1")
    assert (head.position, dict(head.parked)) == (len(STORY), {})


async def test_tenants_with_the_same_conversation_id_are_kept_apart() -> None:
    """Promises 26 and 41."""
    made = await projected([*STORY, *published(story()[:1], tenant="others")])
    assert await shown(made) == await shown(await projected(STORY))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"source": "/elsewhere"}, "source"),
        ({"subject": "conv_2"}, "subject"),
        ({"subject": None}, "tenant"),
        ({"extensions": {"tenant": "team"}}, "sequence"),
        ({"extensions": {"tenant": "team", "sequence": "0000000000"}}, "sequence"),
        ({"extensions": {"sequence": "0000000001"}}, "tenant"),
    ],
)
async def test_an_event_that_is_not_chats_is_refused_for_good(change: dict[str, object], named: str) -> None:
    """Promise 39."""
    with pytest.raises(Unprocessable) as caught:
        await projected([replace(STORY[0], **change)])  # type: ignore[arg-type]  # a table of changes
    assert caught.value.param == named


async def test_a_crash_between_items_and_head_is_repeated_harmlessly() -> None:
    """Promise 56."""
    store = MemoryStore()
    made = generations(store)
    model = await made.current()
    project = Project(made, asyncio.Condition())
    await project(STORY[0])
    head, _ = await model.head("team", "conv_1")
    started = catalogue.from_event(STORY[1])
    assert isinstance(started, TurnStarted)
    await model.put_items(replace(head, position=2), shown_as(started.items[0], "completed"))
    for event in STORY[1:]:
        await project(event)
    assert await shown(made) == await shown(await projected(STORY))
