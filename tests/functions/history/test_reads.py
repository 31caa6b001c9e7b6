"""Reads: OpenAI's shapes, pages, positions, and nobody else's conversations."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from openai.types.conversations import Conversation, ConversationItem
from pydantic import TypeAdapter

from events.chat import Item
from functions._runtime.errors import BadRequest, NotFound, Problem, Unauthorized, Unavailable
from functions._runtime.http import Request, Response
from functions._runtime.ports import Principal
from functions.history.handler import Project
from functions.history.items import shown as shown_items
from functions.history.reads import Reads
from tests.functions.history.world import CONVERSATION, generations, published, story


class Named:
    """`Authorization` is `<tenant>/<subject>`."""

    async def authenticate(self, authorization: str | None) -> Principal:
        if authorization is None:
            raise Unauthorized("No credential.")
        tenant, _, subject = authorization.partition("/")
        return Principal(subject, tenant, frozenset(), "")


@pytest.fixture
async def reads() -> Reads:
    made, moved = generations(), asyncio.Condition()
    project = Project(made, moved)
    for event in published(story()):
        await project(event)
    return Reads(made, Named(), moved, wait_s=0.2)


def request(as_: str = "team/ada", *, query: dict[str, str] | None = None, **path: str) -> Request:
    return Request("GET", "/", {"id": CONVERSATION, **path}, query or {}, {"authorization": as_})


def body(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


async def test_a_conversation_parses_as_openais(reads: Reads) -> None:
    found = Conversation.model_validate(body(await reads.conversation(request())))
    assert (found.id, found.object, found.metadata) == (CONVERSATION, "conversation", {"topic": "whales"})


async def test_items_parse_as_openais_and_come_newest_first(reads: Reads) -> None:
    listed = body(await reads.items(request()))
    items = TypeAdapter(list[ConversationItem]).validate_python(listed["data"])
    assert [item.id for item in items][:2] == ["msg_a4", "msg_q4"]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("msg_a4", "msg_0", False)


async def test_pages_join_without_a_gap(reads: Reads) -> None:
    whole = body(await reads.items(request(query={"order": "asc", "limit": "100"})))["data"]
    joined: list[Any] = []
    query = {"order": "asc", "limit": "3"}
    while True:
        page = body(await reads.items(request(query=query)))
        joined += page["data"]
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert joined == whole


async def test_one_item_is_found_by_its_id(reads: Reads) -> None:
    assert body(await reads.item(request(item_id="msg_a1")))["content"][0]["text"] == "answer 1"
    with pytest.raises(NotFound, match="msg_none"):
        await reads.item(request(item_id="msg_none"))


@pytest.mark.parametrize("as_", ["team/bob", "others/ada", "others/bob"])
async def test_anothers_conversation_looks_like_an_absent_one(reads: Reads, as_: str) -> None:
    """Promise 20."""
    problems = []
    for name in (CONVERSATION, "conv_none"):
        for read in (reads.conversation, reads.items):
            with pytest.raises(NotFound) as caught:
                await read(request(as_, id=name))
            problems.append((caught.value.message.replace(name, "…"), caught.value.code))
    assert len(set(problems)) == 1
    assert body(await reads.conversations(request(as_)))["data"] == []


@pytest.mark.parametrize("position", ["1", "10", "99"])
async def test_waiting_tells_nothing_of_anothers_conversation(reads: Reads, position: str) -> None:
    """Promise 20."""
    problems = []
    for name in (CONVERSATION, "conv_none"):
        headers = {"authorization": "team/bob", "hadal-position": position}
        with pytest.raises(Problem) as caught:
            await reads.conversation(Request("GET", "/", {"id": name}, {}, headers))
        problems.append((caught.value.message.replace(name, "…"), caught.value.code))
    assert len(set(problems)) == 1


async def test_the_callers_conversations_are_listed(reads: Reads) -> None:
    assert [each["id"] for each in body(await reads.conversations(request()))["data"]] == [CONVERSATION]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"after": "msg_none"}, "after"),
        ({"after": '{"$gt": ""}'}, "after"),
    ],
)
async def test_a_wrong_page_is_refused_by_its_name(reads: Reads, query: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await reads.items(request(query=query))
    assert caught.value.param == param


async def test_a_read_waits_for_the_position_that_it_names(reads: Reads) -> None:
    events = published(story() + story()[1:3])
    late = Request(
        "GET", "/", {"id": CONVERSATION}, {}, {"authorization": "team/ada", "hadal-position": "12"}
    )
    waiting = asyncio.create_task(
        Reads(reads.generations, Named(), reads.moved, wait_s=30).conversation(late)
    )
    project = Project(reads.generations, reads.moved)
    for event in events[len(story()) :]:
        assert not waiting.done()
        await project(event)
    assert (await waiting).headers["hadal-position"] == "12"


async def test_a_position_that_does_not_come_is_unavailable_for_now(reads: Reads) -> None:
    late = Request(
        "GET", "/", {"id": CONVERSATION}, {}, {"authorization": "team/ada", "hadal-position": "99"}
    )
    with pytest.raises(Unavailable) as caught:
        await reads.conversation(late)
    assert caught.value.retry_after_s == 1


@pytest.mark.parametrize("position", ["-1", "1.5", "x", "9" * 40, "٣"])
async def test_a_position_that_is_no_number_is_refused(reads: Reads, position: str) -> None:
    wrong = Request(
        "GET", "/", {"id": CONVERSATION}, {}, {"authorization": "team/ada", "hadal-position": position}
    )
    with pytest.raises(Problem) as caught:
        await reads.conversation(wrong)
    assert caught.value.status == 400


def test_tool_calls_and_thoughts_are_items_of_their_own() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "depth", "arguments": "{}"}}
    items = [
        Item("msg_1", "assistant", None, tool_calls=(call,), reasoning_content="I should measure."),
        Item("msg_2", "tool", "6000 m", tool_call_id="call_1"),
        Item("msg_3", "user", ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},)),
    ]
    made = [each for item in items for each in shown_items(item, "completed")]
    parsed = TypeAdapter(list[ConversationItem]).validate_python(made)
    assert [item.type for item in parsed] == ["reasoning", "function_call", "function_call_output", "message"]
