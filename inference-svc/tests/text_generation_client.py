"""What people do with the `text-generation` client; run by its own Python, whose huggingface_hub is older.

`python text_generation_client.py URL` exits with 0 if the service at URL answers as the client wants it.
"""

from __future__ import annotations

import asyncio
import sys

from text_generation import AsyncClient, Client
from text_generation.errors import ValidationError
from text_generation.types import FinishReason

TOOL = {
    "type": "function",
    "function": {
        "name": "sound",
        "parameters": {
            "type": "object",
            "properties": {"deep": {"type": "boolean"}},
            "required": ["deep"],
            "additionalProperties": False,
        },
    },
}


def generates(client: Client) -> None:
    """Whole, streamed and several at once."""
    whole = client.generate("the sea", max_new_tokens=5, decoder_input_details=True)
    assert whole.details.finish_reason in {FinishReason.Length, FinishReason.EndOfSequenceToken}
    assert whole.details.generated_tokens == len(whole.details.tokens) <= 5
    assert whole.details.prefill
    tokens = list(client.generate_stream("the sea", max_new_tokens=5))
    assert tokens[-1].generated_text == whole.generated_text
    best = client.generate("the sea", max_new_tokens=3, do_sample=True, best_of=2)
    assert best.details.best_of_sequences is not None
    assert len(best.details.best_of_sequences) == 1


def refuses(client: Client) -> None:
    """The service's errors are the client's own."""
    try:
        client.generate("the sea", max_new_tokens=10**6)
    except ValidationError as error:
        assert "`max_new_tokens` must be" in str(error)
    else:
        raise AssertionError("a request that can't be served was taken")


def chats(client: Client) -> None:
    """Messages, and calls of tools. Its streamed form is older than TGI 3 and reads neither's chunks."""
    messages = [{"role": "user", "content": "hello"}]
    whole = client.chat(messages, max_tokens=5, temperature=0.5, seed=1)
    assert whole.choices[0].message.role == "assistant"
    called = client.chat(messages, max_tokens=300, tools=[TOOL], tool_choice="required", seed=1)
    assert called.choices[0].finish_reason == "tool_calls"
    assert called.choices[0].message.tool_calls[0]["function"]["name"] == "sound"


async def streams(client: AsyncClient) -> None:
    """The asynchronous client reads the same streams."""
    tokens = [token async for token in client.generate_stream("the sea", max_new_tokens=3)]
    assert tokens[-1].generated_text is not None


if __name__ == "__main__":
    url = sys.argv[1]
    for check in (generates, refuses, chats):
        check(Client(url))
    asyncio.run(streams(AsyncClient(url)))
