"""How an answer is gathered from what a model's server sends."""

from __future__ import annotations

from typing import Any

import pytest

from events.chat import Usage
from functions._runtime.errors import BadGateway
from functions.chat.answer import Answer


def of_deltas(*deltas: dict[str, Any], finish: str | None = "stop") -> Answer:
    answer = Answer()
    for delta in deltas:
        answer.add_chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    answer.add_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return answer


def test_content_is_put_together() -> None:
    item = of_deltas({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}).item(
        "msg_1"
    )
    assert item is not None
    assert (item.id, item.role, item.content) == ("msg_1", "assistant", "Hello")


def test_reasoning_is_kept_beside_the_content() -> None:
    item = of_deltas({"reasoning_content": "Hm"}, {"reasoning_content": "m."}, {"content": "Yes."}).item("m")
    assert item is not None
    assert (item.content, item.reasoning_content) == ("Yes.", "Hmm.")


def test_a_refusal_is_kept_as_a_part() -> None:
    item = of_deltas({"refusal": "I can't."}).item("m")
    assert item is not None
    assert item.content == ({"type": "refusal", "refusal": "I can't."},)


def test_tool_calls_are_put_together_by_their_index() -> None:
    item = of_deltas(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "depth", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "time", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"of":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"sea"}'}}]},
        finish="tool_calls",
    ).item("m")
    assert item is not None
    assert item.content is None
    assert item.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "depth", "arguments": '{"of":"sea"}'}},
        {"id": "b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    )


def test_arguments_that_come_as_an_object_become_text() -> None:
    call = {"id": "a", "function": {"name": "depth", "arguments": {"of": "sea"}}}
    answer = Answer()
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer.add_completion({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    item = answer.item("m")
    assert item is not None
    assert item.tool_calls is not None
    assert item.tool_calls[0]["function"]["arguments"] == '{"of":"sea"}'


def test_only_the_first_choice_is_an_answer() -> None:
    answer = of_deltas({"content": "first"})
    answer.add_chunk({"choices": [{"index": 1, "delta": {"content": "second"}}]})
    item = answer.item("m")
    assert item is not None
    assert item.content == "first"


def test_nothing_that_came_is_no_item() -> None:
    assert of_deltas({"role": "assistant", "content": ""}, finish=None).item("m") is None


def test_an_empty_answer_that_ended_is_one() -> None:
    item = of_deltas().item("m")
    assert item is not None
    assert item.content == ""


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": 1}]
)
def test_a_usage_that_is_none_is_not_taken(usage: Any) -> None:
    answer = Answer()
    answer.add_chunk({"choices": [], "usage": usage})
    assert answer.usage is None


def test_the_last_usage_counts() -> None:
    answer = Answer()
    for completion_tokens in (1, 2):
        usage = {"prompt_tokens": 7, "completion_tokens": completion_tokens}
        answer.add_chunk({"choices": [], "usage": usage})
    assert answer.usage == Usage(7, 2)


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": "x"},
        {"choices": [1]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"tool_calls": ["x"]}}]},
    ],
)
def test_garbage_in_a_stream_is_the_servers_fault(chunk: dict[str, Any]) -> None:
    """Promise 51."""
    with pytest.raises(BadGateway):
        Answer().add_chunk(chunk)


@pytest.mark.parametrize(
    "completion", [{}, {"choices": []}, {"choices": [{"message": None}]}, {"choices": {}}]
)
def test_garbage_instead_of_a_completion_is_the_servers_fault(completion: dict[str, Any]) -> None:
    """Promise 51."""
    with pytest.raises(BadGateway):
        Answer().add_completion(completion)
