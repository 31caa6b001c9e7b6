"""`chat` under the stock command, on SQLite, with the `openai` SDK and neighbours of real HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
from aiohttp import ClientSession
from openai.types.chat import ChatCompletionUserMessageParam

from events import CloudEvent
from events import http as events_http
from tests.functions.chat.neighbours import MODEL, Neighbours, neighbours
from tests.functions.stock import Running, running

CANCELLED_WITHIN_S = 1.0
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hi"}]
TICK = CloudEvent("1", "/apis/v1/namespaces/hadal/pingsources/ticks", "dev.knative.sources.ping")

pytestmark = pytest.mark.slow


@asynccontextmanager
async def chat(met: Neighbours, folder: Path, **environ: str) -> AsyncIterator[Running]:
    own = {**met.environ, "HADAL_STORE": f"sqlite:{folder}/chat.db"}
    async with running("chat", {**own, **environ}, folder) as function:
        yield function


def client(met: Neighbours, function: Running) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{function.url}/v1", api_key=met.token(), max_retries=0)


async def kill(function: Running) -> None:
    """kill -9 of the master and its worker."""
    children = Path(f"/proc/{function.process.pid}/task/{function.process.pid}/children").read_text().split()
    for pid in [function.process.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    await function.process.wait()


async def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with neighbours() as met:
        async with chat(met, tmp_path) as function, client(met, function) as ann:
            conversation = await ann.conversations.create(metadata={"topic": "whales"})
            asked = {"conversation": conversation.id}
            stream = await ann.chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, extra_body=asked
            )
            said = [chunk.choices[0].delta.content async for chunk in stream]
            assert said == ["Hello", " there", None]
            assert await met.published(3) == ["conversation_started", "turn_started", "turn_completed"]
        async with chat(met, tmp_path) as function, client(met, function) as ann:
            whole = await ann.chat.completions.create(model=MODEL, messages=HELLO, extra_body=asked)
            assert whole.choices[0].message.content == "Hello there"
            assert [message["content"] for message in met.asked[-1]["messages"]] == [
                "Hi",
                "Hello there",
                "Hi",
            ]
            await met.published(5)
            assert [event.extensions["sequence"] for event in met.events] == [
                f"{n:010d}" for n in range(1, 6)
            ]


async def test_a_client_that_leaves_closes_the_model_within_a_second(tmp_path: Path) -> None:
    """Promise 35."""
    async with neighbours() as met, chat(met, tmp_path) as function, client(met, function) as ann:
        met.words = ["Hello", asyncio.Event()]
        conversation = await ann.conversations.create()
        stream = await ann.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, extra_body={"conversation": conversation.id}
        )
        await anext(aiter(stream))
        await stream.close()
        async with asyncio.timeout(CANCELLED_WITHIN_S):
            await met.left.wait()
        assert (await met.published(3))[-1] == "turn_cancelled"
        assert met.events[-1].json()["items"][0]["content"] == "Hello"


async def test_a_client_that_leaves_before_the_first_word_cancels_the_turn(tmp_path: Path) -> None:
    """Promise 35."""
    async with neighbours() as met, chat(met, tmp_path) as function, client(met, function) as ann:
        met.words = [asyncio.Event()]
        conversation = await ann.conversations.create()
        asking = asyncio.create_task(
            ann.chat.completions.create(
                model=MODEL, messages=HELLO, extra_body={"conversation": conversation.id}
            )
        )
        await met.published(2)
        asking.cancel()
        async with asyncio.timeout(CANCELLED_WITHIN_S):
            await met.left.wait()
        assert (await met.published(3))[-1] == "turn_cancelled"


async def test_an_answer_in_progress_is_finished_after_sigterm(tmp_path: Path) -> None:
    """Promise 57, for one stream."""
    async with neighbours() as met, chat(met, tmp_path) as function, client(met, function) as ann:
        going_on = asyncio.Event()
        met.words = ["Hello", going_on, " there"]
        conversation = await ann.conversations.create()
        stream = await ann.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, extra_body={"conversation": conversation.id}
        )
        chunks = aiter(stream)
        await anext(chunks)
        function.process.terminate()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(function.process.wait(), 0.5)
        going_on.set()
        rest = [chunk.choices[0].delta.content async for chunk in chunks]
        assert rest == [" there", None]
        assert (await met.published(3))[-1] == "turn_completed"


async def test_a_turn_whose_process_was_killed_is_expired_by_a_tick(tmp_path: Path) -> None:
    """Promise 56: every saga ends within its time."""
    async with neighbours() as met:
        met.words = ["Hello", asyncio.Event()]
        async with chat(met, tmp_path, TURN_DEADLINE_S="1") as function, client(met, function) as ann:
            conversation = await ann.conversations.create()
            stream = await ann.chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, extra_body={"conversation": conversation.id}
            )
            chunks = aiter(stream)
            await anext(chunks)
            await kill(function)
            with pytest.raises(openai.APIConnectionError):  # broken off, not ended
                await anext(chunks)
        async with chat(met, tmp_path, TURN_DEADLINE_S="1") as function, ClientSession() as http:
            headers, body = events_http.to_binary(TICK)
            async with asyncio.timeout(10):
                while "turn_expired" not in [event.type.split(".")[3] for event in met.events]:
                    named = {name.decode(): value.decode() for name, value in headers}
                    answer = await http.post(f"{function.url}/", data=body, headers=named)
                    assert answer.status == 204
                    await asyncio.sleep(0.05)
