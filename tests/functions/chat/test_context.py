"""What the model is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from events.chat import Item
from functions.chat.context import SUMMARY_HEADING, fitting_turns, prompt, room_tokens, text_of
from functions.chat.model import Conversation, Turn
from functions.chat.tokens import count_tokens
from tests.functions.chat.world import FakeModel, World


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


async def test_the_model_gets_the_turns_before_and_the_new_message() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    await world.say(conversation, "Hi")
    await world.say(conversation, "And?")
    assert world.model.messages() == [("user", "Hi"), ("assistant", "Hello"), ("user", "And?")]


async def test_the_messages_that_a_conversation_was_started_with_are_told() -> None:
    world = World()
    items = [
        {"type": "message", "role": "system", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "I am Ann."}]},
    ]
    conversation = await world.started(items=items)
    await world.say(conversation, "Who am I?")
    assert world.model.messages() == [
        ("system", "Be brief."),
        ("user", "I am Ann."),
        ("user", "Who am I?"),
    ]


async def test_the_summary_stands_for_the_turns_it_covers() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    for number in range(3):
        await world.say(conversation, f"question {number}")
    await world.summarized(conversation, "They greeted.", 5)
    await world.say(conversation, "And?")
    assert world.model.messages() == [
        ("system", SUMMARY_HEADING + "They greeted."),
        ("user", "question 2"),
        ("assistant", "Hello"),
        ("user", "And?"),
    ]


async def test_instructions_and_summary_are_one_system_message_and_come_first() -> None:
    world = World()
    conversation = await world.started()
    await world.take_turn(conversation, [system("Be brief."), user("Hi")])
    await world.summarized(conversation, "They greeted.", 3)
    await world.take_turn(conversation, [user("And?"), system("Be kind."), system("Be quick.")])
    roles = [role for role, _ in world.model.messages()]
    assert roles == ["system", "user"]
    assert world.model.messages()[0][1].startswith("Be kind.\n\nBe quick.\n\n" + SUMMARY_HEADING)


async def test_tool_calls_and_their_results_are_told_again_as_they_were() -> None:
    world = World()
    conversation = await world.started()
    call = {"id": "call_1", "type": "function", "function": {"name": "depth", "arguments": "{}"}}
    messages = [
        user("How deep?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "10,935 m"},
    ]
    await world.take_turn(conversation, messages)
    await world.say(conversation, "Thanks")
    assert orjson.loads(orjson.dumps(world.model.asked[-1]["messages"][:3])) == messages


def conversation_of(*sizes_tokens: int, **fields: Any) -> Conversation:
    turns = tuple(
        Turn(f"turn_{number}", number, (Item("m", "user", "x"),), size)
        for number, size in enumerate(sizes_tokens)
    )
    return Conversation("conv_1", turns=turns, **fields)


@pytest.mark.parametrize(("room", "fitting"), [(1_000, 3), (240, 2), (239, 1), (0, 0), (-5, 0)])
def test_the_latest_turns_that_fit_are_taken(room: int, fitting: int) -> None:
    asked = [Item("m", "user", "x" * 93)]
    assert count_tokens(asked[0]) == 39
    state = conversation_of(300, 100, 101)
    turns = fitting_turns(state, asked, room)
    assert turns == state.turns[len(state.turns) - fitting :]


def test_a_turn_that_does_not_fit_hides_the_ones_before_it() -> None:
    state = conversation_of(10, 1_000, 10)
    assert [turn.turn_id for turn in fitting_turns(state, [], 500)] == ["turn_2"]


def test_instructions_and_summary_take_their_room() -> None:
    state = conversation_of(100, 100)
    with_more = conversation_of(100, 100, instructions=(Item("m", "system", "x" * 60),), summary="y" * 90)
    assert len(fitting_turns(state, [], 200)) == 2
    assert len(fitting_turns(with_more, [], 200)) == 1


@pytest.mark.parametrize(
    ("body", "room"),
    [({}, 7_168), ({"max_tokens": 100}, 8_092), ({"max_completion_tokens": 92, "max_tokens": 1}, 8_100)],
)
def test_room_is_kept_for_the_answer(body: dict[str, int], room: int) -> None:
    assert room_tokens(8_192, body) == room


def test_a_small_window_keeps_a_quarter_for_the_answer() -> None:
    assert room_tokens(512, {}) == 384


@pytest.mark.parametrize(
    "text", ["", "plain", "ümläut", "深海", "🐙" * 50, "def f(x): return {x: [x]}\n" * 20]
)
def test_the_estimate_is_at_least_a_token_for_three_bytes(text: str) -> None:
    assert count_tokens(Item("m", "user", text)) >= len(text.encode()) / 3


def test_the_text_of_parts_is_their_texts() -> None:
    parts = (
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "b"},
    )
    assert text_of(Item("m", "system", parts)) == "ab"
    assert prompt(Conversation("c"), (), [Item("m", "system", parts)]) == [system("ab")]
