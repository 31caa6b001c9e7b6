"""A conversation: remembered, read back, summarised, deleted; and nobody else's."""

from __future__ import annotations

import threading
from typing import Any

import openai
import pytest

from tests.journeys.model_server import MODEL, Die, ModelServer
from tests.journeys.system import Door, eventually

pytestmark = pytest.mark.slow


def say(client: openai.OpenAI, conversation: str, text: str) -> str:
    """One turn, whole."""
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], extra_body={"conversation": conversation}
    )
    return answer.choices[0].message.content or ""


def texts(client: openai.OpenAI, conversation: str) -> list[str]:
    """What stands in the conversation, oldest first."""
    items: Any = client.conversations.items.list(conversation, order="asc", limit=100)
    return [item.content[0].text for item in items]


def test_the_model_is_given_what_was_said_before(system: Door, model: ModelServer) -> None:
    client = system.client()
    conversation = client.conversations.create(metadata={"topic": "sea"})
    assert [say(client, conversation.id, text) for text in ("one", "two", "three")] == [
        "1 one",
        "3 two",
        "5 three",
    ]
    said = [message["content"] for message in model.requests[-1]["messages"]]
    assert said == ["one", "1 one", "two", "3 two", "three"]
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "sea"}


def test_a_read_sees_the_write_before_it(system: Door) -> None:
    client = system.client()
    conversation = client.conversations.create().id
    for text in ("one", "two", "three"):
        say(client, conversation, text)
        assert texts(client, conversation)[-2] == text


def test_a_streamed_turn_is_stored_before_it_says_done(system: Door) -> None:
    client = system.client()
    conversation = client.conversations.create().id
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "streamed"}],
        stream=True,
        extra_body={"conversation": conversation},
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "1 streamed"
    assert texts(client, conversation) == ["streamed", "1 streamed"]


def test_a_deleted_conversation_is_gone_for_every_verb(system: Door) -> None:
    client = system.client()
    conversation = client.conversations.create().id
    say(client, conversation, "one")
    assert client.conversations.delete(conversation).deleted
    for call in (
        lambda: client.conversations.retrieve(conversation),
        lambda: client.conversations.items.list(conversation),
        lambda: client.conversations.delete(conversation),
        lambda: say(client, conversation, "two"),
    ):
        with pytest.raises(openai.NotFoundError):
            call()


def test_another_users_conversation_looks_like_an_absent_one(system: Door) -> None:
    """Promise 20."""
    owner = system.client()
    conversation = owner.conversations.create().id
    with system.http() as http:
        account = http.post("/v1/accounts", json={"name": "another", "role": "member"}).json()["id"]
        key = http.post("/v1/api_keys", json={"name": "theirs", "account": account}).json()["api_key"]
    other = system.client(key)
    for call in (
        lambda name: other.conversations.retrieve(name),
        lambda name: other.conversations.items.list(name),
        lambda name: other.conversations.delete(name),
        lambda name: say(other, name, "let me in"),
    ):
        messages = []
        for name in (conversation, "conv_" + "0" * 32):
            with pytest.raises(openai.NotFoundError) as caught:
                call(name)
            messages.append(caught.value.message.replace(name, "…"))
        assert messages[0] == messages[1]


def test_a_repeated_idempotency_key_gives_the_same_answer_once(system: Door, model: ModelServer) -> None:
    """Promise 37."""
    client = system.client()
    conversation = client.conversations.create().id
    before = len(model.requests)
    answers = {
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "once"}],
            extra_body={"conversation": conversation},
            extra_headers={"Idempotency-Key": "the-same"},
        )
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert answers == {"1 once"}
    assert len(model.requests) == before + 1


def test_a_long_conversation_is_summarised_and_goes_on_with_the_summary(
    system: Door, model: ModelServer
) -> None:
    def answer(request: dict[str, Any]) -> list[Any]:
        summarising = "summar" in str(request["messages"][0]["content"]).lower()
        return ["They spoke of whales."] if summarising and len(request["messages"]) <= 2 else ["ok"]

    client = system.client()
    conversation = client.conversations.create().id
    with model.answering(answer):
        for turn in range(8):
            say(client, conversation, f"{turn} " + "whales sing in the deep sea " * 100)

        def summary_is_used() -> bool:
            say(client, conversation, "and then?")
            return "They spoke of whales." in str(model.requests[-1]["messages"])

        assert eventually(summary_is_used)


def test_a_client_that_leaves_keeps_the_part_it_was_given(system: Door, model: ModelServer) -> None:
    """Promise 35."""
    client = system.client()
    conversation = client.conversations.create().id
    gate = threading.Event()
    with model.answering(lambda _: ["half an", gate, " answer"]):
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "go"}],
            stream=True,
            extra_body={"conversation": conversation},
        )
        next(iter(stream))
        stream.close()
        eventually(lambda: texts(client, conversation) == ["go", "half an"])
        gate.set()
    assert say(client, conversation, "again") == "3 again"


def test_a_model_that_dies_leaves_a_failed_turn_and_an_open_door(system: Door, model: ModelServer) -> None:
    """Promise 52."""
    client = system.client()
    conversation = client.conversations.create().id
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "go"}],
        "stream": True,
        "conversation": conversation,
    }
    with model.answering(lambda _: ["half", Die()]), system.http() as http:
        lines = http.post("/v1/chat/completions", json=body).text
    assert '"error"' in lines
    assert "[DONE]" not in lines
    assert say(client, conversation, "again").endswith(" again")
