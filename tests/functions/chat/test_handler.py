"""Conversations over HTTP, summaries by events, and what other functions read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from events import jsonformat
from events.chat import ConversationDeleted, SummaryAdopted
from functions._runtime.errors import BadRequest, Forbidden, NotFound, Unauthorized, Unprocessable
from tests.functions.chat.world import FakeModel, World, document, summary_event


async def test_a_conversation_starts_with_its_metadata_and_position() -> None:
    world = World()
    answer = await world.call("POST", "/v1/conversations", {"metadata": {"topic": "whales"}})
    conversation = document(answer)
    assert conversation["object"] == "conversation"
    assert conversation["metadata"] == {"topic": "whales"}
    assert conversation["created_at"] == int(world.clock.now().timestamp())
    assert answer.headers["hadal-position"] == "1"


async def test_a_conversation_may_start_with_an_empty_body() -> None:
    assert document(await World().call("POST", "/v1/conversations"))["metadata"] == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a" * 65: "x"}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"items": {}}, "items"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"items": [{"type": "reasoning"}]}, "items[0]"),
        ({"items": ["x"]}, "items[0]"),
    ],
)
async def test_a_conversation_that_can_not_be_is_refused_by_the_field(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await World().call("POST", "/v1/conversations", body)
    assert refused.value.param == param


async def test_metadata_is_replaced() -> None:
    world = World()
    conversation = await world.started(metadata={"a": "1"})
    answer = await world.call("POST", f"/v1/conversations/{conversation}", {"metadata": {"b": "2"}})
    assert document(answer)["metadata"] == {"b": "2"}
    assert answer.headers["hadal-position"] == "2"


async def test_the_position_is_told_to_who_asks() -> None:
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi")
    answer = await world.call("HEAD", f"/v1/conversations/{conversation}")
    assert (answer.status, answer.body, answer.headers["hadal-position"]) == (200, b"", "3")


async def test_a_deleted_conversation_is_gone_for_every_verb() -> None:
    """Promise 20: absent, deleted and another's look the same, for every verb."""
    world = World()
    mine, deleted, absent = await world.started(), await world.started(), "conv_" + "0" * 32
    answer = await world.call("DELETE", f"/v1/conversations/{deleted}")
    assert document(answer) == {"id": deleted, "object": "conversation.deleted", "deleted": True}
    assert answer.headers["hadal-position"] == "2"
    outcomes = set()
    for name, caller in (
        (mine, "bob@team"),
        (mine, "ann@rivals"),
        (deleted, "ann@team"),
        (absent, "ann@team"),
    ):
        for method, body in (("POST", {"metadata": {}}), ("DELETE", None), ("HEAD", None)):
            with pytest.raises(NotFound) as refused:
                await world.call(method, f"/v1/conversations/{name}", body, caller=caller)
            outcomes.add((refused.value.message.replace(name, "…"), refused.value.code))
        asked = {"model": "echo", "conversation": name, "messages": [{"role": "user", "content": "Hi"}]}
        with pytest.raises(NotFound) as refused:
            await world.call("POST", "/v1/chat/completions", asked, caller=caller)
        outcomes.add((refused.value.message.replace(name, "…"), refused.value.code))
    assert len(outcomes) == 1
    assert not world.model.asked


async def test_owner_and_tenant_come_from_the_token_alone() -> None:
    """Promise 21: role, tenant or owner in a body changes nothing."""
    world = World()
    conversation = await world.started(owner="bob", tenant="rivals", role="admin", metadata={"owner": "bob"})
    (recorded,) = await world.recorded(conversation)
    assert recorded.event.extensions["tenant"] == "team"
    assert recorded.event.json()["owner"] == "ann"


async def test_nothing_is_told_without_a_credential() -> None:
    world = World()
    for method, path in (
        ("POST", "/v1/conversations"),
        ("GET", "/v1/events"),
        ("POST", "/v1/chat/completions"),
    ):
        with pytest.raises(Unauthorized):
            await world.call(method, path, {}, caller="nobody")


async def test_every_fact_bears_where_it_belongs() -> None:
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi")
    for version, recorded in enumerate(await world.recorded(conversation), 1):
        event = recorded.event
        assert (event.source, event.subject) == ("/hadal/chat", conversation)
        assert event.extensions["partitionkey"] == conversation
        assert event.extensions["tenant"] == "team"
        assert event.extensions["sequence"] == f"{version:010d}"


async def test_a_turn_over_the_threshold_says_that_a_summary_is_due() -> None:
    world = World(model=FakeModel(words=["x" * 300]), threshold_tokens=500)
    conversation = await world.started()
    for _ in range(6):
        await world.say(conversation, "Hi")
    due = [recorded.event.extensions.get("summarydue") for recorded in await world.recorded(conversation)]
    assert [due[version - 1] for version in (3, 5, 7, 9)] == [None] * 4
    assert [due[version - 1] for version in (11, 13)] == ["true"] * 2


async def test_a_summary_is_adopted_once_however_often_it_comes() -> None:
    """Promise 40: the same event 1,000 times at once, applied once."""
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi")
    await asyncio.gather(*(world.summarized(conversation, "They greeted.", 3) for _ in range(1_000)))
    adopted = [fact for fact in await world.facts(conversation) if isinstance(fact, SummaryAdopted)]
    assert adopted == [SummaryAdopted(conversation, "They greeted.", 3)]


async def test_a_summary_from_another_source_is_refused() -> None:
    """Promise 39: a spoofed source."""
    world = World()
    conversation = await world.started()
    event = summary_event(conversation, "Spoofed.", 1, source="/hadal/chat")
    with pytest.raises(Unprocessable):
        await world.chat.adopt_summary(event)


async def test_a_summary_reaches_no_other_tenants_conversation() -> None:
    """Promise 26: the tenant is part of the key."""
    world = World()
    conversation = await world.started()
    with pytest.raises(Unprocessable):
        await world.summarized(conversation, "Spoofed.", 1, tenant="rivals")
    assert await world.names(conversation) == ["ConversationStarted"]


async def test_a_summary_of_a_deleted_conversation_is_let_go() -> None:
    world = World()
    conversation = await world.started()
    await world.call("DELETE", f"/v1/conversations/{conversation}")
    await world.summarized(conversation, "Too late.", 1)
    assert isinstance((await world.facts(conversation))[-1], ConversationDeleted)


async def test_a_function_reads_what_a_summary_is_made_of() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    for number in range(5):
        await world.say(conversation, f"question {number}")
    path = f"/v1/conversations/{conversation}/context?tenant=team"
    context = document(await world.call("GET", path, caller="service@team"))
    assert (context["version"], context["summary"], context["summarized_through"]) == (11, None, 0)
    (turn,) = context["turns"]
    assert turn["version"] == 3
    assert [message["content"] for message in turn["messages"]] == ["question 0", "Hello"]
    await world.summarized(conversation, "They greeted.", 3)
    context = document(await world.call("GET", path, caller="service@team"))
    assert (context["summary"], context["summarized_through"], context["turns"]) == ("They greeted.", 3, [])


async def test_a_member_reads_neither_contexts_nor_the_feed() -> None:
    world = World()
    conversation = await world.started()
    for path in (f"/v1/conversations/{conversation}/context?tenant=team", "/v1/events"):
        with pytest.raises(Forbidden):
            await world.call("GET", path)


async def test_a_function_reads_only_the_tenant_that_its_token_is_for() -> None:
    world = World()
    conversation = await world.started()
    path = f"/v1/conversations/{conversation}/context?tenant="
    with pytest.raises(NotFound):
        await world.call("GET", path + "rivals", caller="service@rivals")
    with pytest.raises(BadRequest):
        await world.call("GET", path + "team", caller="service@rivals")


async def test_the_feed_gives_every_fact_in_pages() -> None:
    world = World()
    conversations = [await world.started() for _ in range(3)]
    for conversation in conversations:
        await world.say(conversation, "Hi")
    events, last = [], 0
    while True:
        page = document(await world.call("GET", f"/v1/events?after={last}&limit=4", caller="service@team"))
        if not page["events"]:
            break
        events += page["events"]
        last = page["last"]
    assert last == page["last"] == 9
    assert [jsonformat.from_dict(event) for event in events] == [
        recorded.event for recorded in await world.events.read_all(0, 100)
    ]


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "limit=", "after=9" + "9" * 30]
)
async def test_a_page_that_can_not_be_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        await World().call("GET", f"/v1/events?{query}", caller="service@team")
