"""The saga of a turn, and how each of its ends is recorded."""

from __future__ import annotations

import asyncio

import pytest

from events.chat import TurnCancelled, TurnCompleted, TurnFailed, TurnStarted, Usage
from functions._runtime.errors import (
    BadGateway,
    BadRequest,
    Conflict,
    NotFound,
    Unavailable,
    Unprocessable,
)
from functions._runtime.http import Response
from tests.functions.chat.world import FakeModel, World, document, frames, opened, text

CANCELLED_WITHIN_S = 5.0


async def begun(response: Response, pieces: int) -> list[object]:
    """The first pieces of a stream that goes on."""
    assert not isinstance(response.body, bytes)
    return [opened(await anext(response.body)) for _ in range(pieces)]


async def leave(response: Response) -> None:
    assert not isinstance(response.body, bytes)
    await response.body.aclose()  # type: ignore[attr-defined]


async def test_a_turn_records_the_question_before_the_answer() -> None:
    world = World()
    conversation = await world.started()
    answer = await world.say(conversation, "Hi")
    assert document(answer)["choices"][0]["message"]["content"] == "Hello there"
    assert answer.headers["hadal-position"] == "3"
    _, started, completed = await world.facts(conversation)
    assert isinstance(started, TurnStarted)
    assert isinstance(completed, TurnCompleted)
    assert [item.content for item in started.items] == ["Hi"]
    assert [item.content for item in completed.items] == ["Hello there"]
    assert (completed.turn_id, completed.model) == (started.turn_id, "echo")
    assert (completed.finish_reason, completed.usage) == ("stop", Usage(7, 3))


async def test_a_stream_passes_on_what_the_model_sends_as_it_comes() -> None:
    world = World()
    going_on = asyncio.Event()
    world.model.words = ["Hello", going_on, " there"]
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    assert text(await begun(answer, 2)) == "Hello"
    going_on.set()
    rest = await frames(answer)
    assert text(rest) == " there"
    assert rest[-1] == "[DONE]"
    assert answer.headers["hadal-position"] == "2", "where it stood when the stream's head was sent"


async def test_the_end_of_a_stream_comes_after_the_answer_is_durable() -> None:
    world = World()
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    assert not isinstance(answer.body, bytes)
    async for frame in answer.body:
        choices = opened(frame)["choices"] if opened(frame) != "[DONE]" else []
        is_end = opened(frame) == "[DONE]" or choices[0]["finish_reason"] is not None
        recorded = (await world.names(conversation))[-1] == "TurnCompleted"
        assert is_end <= recorded


async def test_the_usage_is_recorded_though_the_caller_did_not_ask_for_it() -> None:
    world = World()
    conversation = await world.started()
    received = await frames(await world.say(conversation, "Hi", stream=True))
    assert all(frame["choices"] for frame in received[:-1])
    assert world.model.asked[0]["stream_options"] == {"include_usage": True}
    completed = (await world.facts(conversation))[-1]
    assert isinstance(completed, TurnCompleted)
    assert completed.usage == Usage(7, 3)


async def test_a_caller_who_asks_for_the_usage_gets_it_last() -> None:
    world = World()
    conversation = await world.started()
    options = {"include_usage": True}
    received = await frames(await world.say(conversation, "Hi", stream=True, stream_options=options))
    assert received[-2]["usage"]["prompt_tokens"] == 7


async def test_the_usage_is_estimated_where_the_server_does_not_count() -> None:
    world = World(model=FakeModel(usage=None))
    conversation = await world.started()
    await frames(await world.say(conversation, "Hi", stream=True))
    completed = (await world.facts(conversation))[-1]
    assert isinstance(completed, TurnCompleted)
    assert completed.usage.completion_tokens == 2
    assert completed.usage.prompt_tokens > 0


async def test_the_model_is_asked_with_the_callers_parameters_and_not_with_ours() -> None:
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi", temperature=0.5, tools=[{"type": "function"}])
    asked = world.model.asked[0]
    assert asked["temperature"] == 0.5
    assert asked["tools"] == [{"type": "function"}]
    assert "conversation" not in asked


async def test_a_client_that_leaves_closes_the_model_and_keeps_the_part_produced() -> None:
    """Promise 35: upstream cancelled, the part kept as cancelled."""
    world = World(model=FakeModel(words=["Hello", asyncio.Event()]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    await begun(answer, 2)
    await leave(answer)
    assert world.model.closed == 1
    cancelled = (await world.facts(conversation))[-1]
    assert isinstance(cancelled, TurnCancelled)
    assert [item.content for item in cancelled.items] == ["Hello"]


async def test_a_client_that_leaves_before_reading_anything_is_a_cancelled_turn_too() -> None:
    world = World(model=FakeModel(words=[asyncio.Event()]))
    conversation = await world.started()
    await leave(await world.say(conversation, "Hi", stream=True))
    assert world.model.closed == 1
    assert (await world.names(conversation))[-1] == "TurnCancelled"


async def test_a_reader_that_is_cancelled_in_the_middle_of_a_wait_is_a_cancelled_turn() -> None:
    """Promise 35, as the server does it: it cancels the task that waits for the next chunk."""
    world = World(model=FakeModel(words=["Hello", asyncio.Event()]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    await begun(answer, 2)
    reading = asyncio.create_task(begun(answer, 1))
    await asyncio.sleep(0)
    reading.cancel()
    async with asyncio.timeout(CANCELLED_WITHIN_S):
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert world.model.closed == 1
    assert (await world.names(conversation))[-1] == "TurnCancelled"


async def test_a_client_that_leaves_before_a_whole_answer_is_a_cancelled_turn() -> None:
    world = World(model=FakeModel(words=[asyncio.Event()]))
    conversation = await world.started()
    asking = asyncio.create_task(world.say(conversation, "Hi"))
    await world.model.is_asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await world.names(conversation))[-1] == "TurnCancelled"


async def test_a_client_that_leaves_while_the_turn_is_being_recorded_leaves_no_open_turn() -> None:
    world = World(model=FakeModel(words=[asyncio.Event()]))
    conversation = await world.started()
    world.events.reached, world.events.goes_on = asyncio.Event(), asyncio.Event()
    asking = asyncio.create_task(world.say(conversation, "Hi"))
    await world.events.reached.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    world.events.goes_on.set()
    await world.background.drain()
    assert await world.names(conversation) == ["ConversationStarted", "TurnStarted", "TurnCancelled"]
    assert not world.model.asked


async def test_a_turn_without_an_answer_leaves_nothing_in_the_context() -> None:
    world = World(model=FakeModel(words=[Unavailable("Away.")]))
    conversation = await world.started()
    with pytest.raises(Unavailable):
        await world.say(conversation, "Hi")
    world.model.words = ["Hello"]
    await world.say(conversation, "Hi")
    assert world.model.messages() == [("user", "Hi")]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_fails_before_the_first_word_is_told_as_the_answers_status(stream: bool) -> None:
    world = World()
    conversation = await world.started()
    world.model.refusal, world.model.refuses_over = BadGateway("It failed.", code="model_failed"), 0
    with pytest.raises(BadGateway):
        await world.say(conversation, "Hi", stream=stream)
    failed = (await world.facts(conversation))[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.reason == "model_failed"


async def test_a_model_that_dies_in_mid_stream_ends_the_stream_with_an_error_and_no_done() -> None:
    """Promise 52: an explicit error, never a false [DONE]."""
    world = World(model=FakeModel(words=["Hello", BadGateway("It broke off.", code="model_broke_off")]))
    conversation = await world.started()
    received = await frames(await world.say(conversation, "Hi", stream=True))
    assert text(received) == "Hello"
    assert received[-1]["error"]["code"] == "model_broke_off"
    assert "[DONE]" not in received
    assert (await world.names(conversation))[-1] == "TurnFailed"


async def test_an_answer_that_outlives_the_deadline_ends_with_an_error() -> None:
    world = World(model=FakeModel(words=["Hello", asyncio.Event()]), deadline_s=0.05)
    conversation = await world.started()
    received = await frames(await world.say(conversation, "Hi", stream=True))
    assert received[-1]["error"]["code"] == "deadline_exceeded"
    failed = (await world.facts(conversation))[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.reason == "deadline_exceeded"


async def test_a_second_turn_at_once_is_told_that_the_conversation_is_busy() -> None:
    going_on = asyncio.Event()
    world = World(model=FakeModel(words=["Hello", going_on]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    with pytest.raises(Conflict) as refused:
        await world.say(conversation, "And?")
    assert refused.value.code == "conversation_busy"
    assert refused.value.retry_after_s
    going_on.set()
    await frames(answer)
    assert (await world.say(conversation, "And?")).status == 200


async def test_of_a_hundred_turns_at_once_one_is_taken() -> None:
    world = World(model=FakeModel(words=["Hello", asyncio.Event()]))
    conversation = await world.started()
    calls = (world.say(conversation, "Hi", stream=True) for _ in range(100))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    taken = [answer for answer in answers if isinstance(answer, Response)]
    assert len(taken) == 1
    assert all(isinstance(answer, Conflict) for answer in answers if answer is not taken[0])
    assert len(world.model.asked) == 1
    await leave(taken[0])


async def test_the_same_key_again_gets_the_stored_answer() -> None:
    """Promise 37: one generation."""
    world = World()
    conversation = await world.started()
    first = document(await world.say(conversation, "Hi", key="k1"))
    again = await world.say(conversation, "Hi", key="k1")
    assert document(again)["choices"][0]["message"] == first["choices"][0]["message"]
    assert document(again)["usage"] == first["usage"]
    assert again.headers["hadal-position"] == "3"
    streamed = await frames(await world.say(conversation, "Hi", key="k1", stream=True))
    assert text(streamed) == "Hello there"
    assert streamed[-1] == "[DONE]"
    assert len(world.model.asked) == 1


async def test_the_same_key_while_its_answer_is_being_made_is_told_so() -> None:
    """Promise 37: one generation."""
    going_on = asyncio.Event()
    world = World(model=FakeModel(words=["Hello", going_on]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", key="k1", stream=True)
    with pytest.raises(Conflict) as refused:
        await world.say(conversation, "Hi", key="k1")
    assert refused.value.code == "turn_in_progress"
    assert refused.value.retry_after_s
    going_on.set()
    await frames(answer)
    assert len(world.model.asked) == 1


async def test_a_key_whose_turn_failed_may_try_again() -> None:
    world = World(model=FakeModel(words=[Unavailable("Away.")]))
    conversation = await world.started()
    with pytest.raises(Unavailable):
        await world.say(conversation, "Hi", key="k1")
    world.model.words = ["Hello"]
    assert (
        document(await world.say(conversation, "Hi", key="k1"))["choices"][0]["message"]["content"] == "Hello"
    )
    started = [fact for fact in await world.facts(conversation) if isinstance(fact, TurnStarted)]
    assert len({fact.turn_id for fact in started}) == 2


async def test_a_key_whose_client_left_is_not_generated_again() -> None:
    world = World(model=FakeModel(words=["Hello", asyncio.Event()]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", key="k1", stream=True)
    await begun(answer, 2)
    await leave(answer)
    with pytest.raises(Conflict) as refused:
        await world.say(conversation, "Hi", key="k1")
    assert refused.value.code == "turn_cancelled"
    assert len(world.model.asked) == 1


async def test_a_key_is_found_however_many_came_after_it() -> None:
    world = World()
    conversation = await world.started()
    await world.say(conversation, "Hi", key="the first")
    for number in range(300):
        await world.say(conversation, "Hi", key=f"k{number}")
    await world.say(conversation, "Hi", key="the first")
    assert len(world.model.asked) == 301


async def test_the_same_key_elsewhere_is_another_turn() -> None:
    world = World()
    one, other = await world.started(), await world.started()
    await world.say(one, "Hi", key="k1")
    await world.say(other, "Hi", key="k1")
    assert len(world.model.asked) == 2


async def test_a_store_that_is_away_for_a_moment_costs_no_answer() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    world.events.fails = 2
    assert (await frames(answer))[-1] == "[DONE]"
    assert (await world.names(conversation))[-1] == "TurnCompleted"


async def test_an_answer_that_can_not_be_recorded_is_not_acknowledged() -> None:
    world = World(model=FakeModel(words=["Hello"]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    world.events.fails = 1_000
    received = await frames(answer)
    assert "[DONE]" not in received
    assert received[-1]["error"]["code"] == "unavailable"
    finish_reasons = [choice["finish_reason"] for frame in received[:-1] for choice in frame["choices"]]
    assert not any(finish_reasons)


async def test_a_prompt_that_the_model_finds_too_long_is_shortened() -> None:
    world = World()
    conversation = await world.started()
    for number in range(8):
        await world.say(conversation, f"question {number}")
    world.model.refusal, world.model.refuses_over = Unprocessable("Too long.", code="model_refused"), 6
    world.model.asked.clear()
    await world.say(conversation, "And?")
    assert [len(each["messages"]) for each in world.model.asked] == [17, 9, 5]
    assert world.model.messages()[0] == ("user", "question 6")
    assert world.model.messages()[-1] == ("user", "And?")


async def test_a_message_that_is_too_long_by_itself_is_refused_as_the_model_says() -> None:
    world = World()
    conversation = await world.started()
    world.model.refusal, world.model.refuses_over = Unprocessable("Too long.", code="model_refused"), 0
    with pytest.raises(Unprocessable) as refused:
        await world.say(conversation, "Hi")
    assert refused.value.message == "Too long."
    assert (await world.names(conversation))[-1] == "TurnFailed"


async def test_a_conversation_deleted_in_mid_stream_ends_the_stream_with_an_error() -> None:
    going_on = asyncio.Event()
    world = World(model=FakeModel(words=["Hello", going_on]))
    conversation = await world.started()
    answer = await world.say(conversation, "Hi", stream=True)
    await world.call("DELETE", f"/v1/conversations/{conversation}")
    going_on.set()
    received = await frames(answer)
    assert received[-1]["error"]["code"] == "conversation_not_found"
    assert "[DONE]" not in received


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"n": 2}, "n"),
        ({"conversation": None}, "conversation"),
        ({"conversation": {"name": "x"}}, "conversation"),
    ],
)
async def test_a_body_that_can_not_be_a_turn_is_refused_by_the_field(
    body: dict[str, object], param: str
) -> None:
    world = World()
    conversation = await world.started()
    messages = [{"role": "user", "content": "Hi"}]
    asked = {"model": "echo", "conversation": conversation, "messages": messages, **body}
    with pytest.raises(BadRequest) as refused:
        await world.call("POST", "/v1/chat/completions", asked)
    assert refused.value.param == param
    assert await world.names(conversation) == ["ConversationStarted"]


async def test_a_body_nested_too_deeply_to_be_written_is_refused() -> None:
    """Promise 32: 400, never 500."""
    world = World()
    conversation = await world.started()
    body = (
        b'{"model":"echo","conversation":"%b","messages":[{"role":"user","content":[{"type":"x","x":%b}]}]}'
    )
    with pytest.raises(BadRequest):
        await world.send(
            "POST", "/v1/chat/completions", body % (conversation.encode(), b"[" * 400 + b"]" * 400)
        )
    assert await world.names(conversation) == ["ConversationStarted"]


@pytest.mark.parametrize("name", ["conv_" + "0" * 32, "../x", "conv_", "", "conv_" + "0" * 32 + "/"])
async def test_a_turn_in_a_conversation_that_is_not_there_is_a_404(name: str) -> None:
    """Promise 20: absent, deleted and another's look the same."""
    world = World()
    with pytest.raises(NotFound) as refused:
        await world.say(name, "Hi")
    assert refused.value.code == "conversation_not_found"
