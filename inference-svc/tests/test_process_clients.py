"""The service as a process, through the clients that people use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import openai
import orjson
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import OverloadedError, ValidationError

from tests.process import started, until_healthy

pytestmark = pytest.mark.slow


async def test_the_openai_and_hugging_face_clients_work_unchanged(checkpoint: Callable[[str], Path]) -> None:
    async with started(checkpoint("qwen2")) as service:
        await service.line("model loaded")
        await until_healthy(service.url)
        await _try_openai(service.url, checkpoint("qwen2").name)
        await _try_hugging_face(service.url)


async def _try_openai(url: str, name: str) -> None:
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    assert [model.id async for model in client.models.list()] == [name]
    asked = {
        "model": name,
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "max_tokens": 12,
    }
    whole = await client.chat.completions.create(**asked)  # type: ignore[call-overload]  # one dict for both calls
    assert whole.usage.completion_tokens <= 12
    assert whole.choices[0].finish_reason in {"length", "stop"}
    stream = await client.chat.completions.create(  # type: ignore[call-overload]
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    completion = await client.completions.create(model=name, prompt="the sea", max_tokens=3, temperature=0)
    assert completion.choices[0].finish_reason in {"length", "stop"}
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await client.chat.completions.create(**{**asked, "frequency_penalty": 5})  # type: ignore[call-overload]
    assert "`frequency_penalty` must be" in refused.value.response.json()["error"]


async def _try_hugging_face(url: str) -> None:
    async with AsyncInferenceClient(model=url) as client:
        answer = await client.text_generation(
            "the sea", max_new_tokens=5, details=True, decoder_input_details=True
        )
        assert answer.details is not None
        assert answer.details.generated_tokens == len(answer.details.tokens) <= 5
        stream = await client.text_generation("the sea", max_new_tokens=5, stream=True, details=True)
        tokens = [token async for token in stream]
        assert tokens[-1].generated_text is not None
        assert tokens[-1].generated_text in answer.generated_text
        chat = await client.chat_completion([{"role": "user", "content": "hello"}], max_tokens=5)
        assert chat.choices[0].message.role == "assistant"
        chunks = await client.chat_completion(
            [{"role": "user", "content": "hello"}], max_tokens=5, stream=True
        )
        assert [chunk async for chunk in chunks][-1].choices[0].finish_reason in {"length", "stop"}
        with pytest.raises(ValidationError, match="`temperature` must be strictly positive"):
            await client.text_generation("x", temperature=-1)


async def test_the_hugging_face_client_recognises_overload(checkpoint: Callable[[str], Path]) -> None:
    long = {"inputs": "the sea", "parameters": {"max_new_tokens": 450}}
    async with (
        started(checkpoint("deepseek-v3"), {"MAX_CONCURRENT_REQUESTS": "1"}) as service,
        aiohttp.ClientSession() as http,
        AsyncInferenceClient(model=service.url) as client,
    ):
        await service.line("model loaded")
        await until_healthy(service.url)
        async with http.post(service.url + "/generate_stream", json=long) as stream:
            await stream.content.readuntil(b"\n\n")
            with pytest.raises(OverloadedError, match="Model is overloaded"):
                await client.text_generation("x", max_new_tokens=1)


@asynccontextmanager
async def _client_of(model: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    async with started(model) as service:
        await service.line("model loaded")
        await until_healthy(service.url)
        yield openai.AsyncOpenAI(base_url=service.url + "/v1", api_key="none")


async def test_the_default_model_answers_in_the_form_that_was_asked_for(default_model: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "capital": {"type": "boolean"}},
        "required": ["city", "capital"],
        "additionalProperties": False,
    }
    async with _client_of(default_model) as client:
        stream = await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
            temperature=0,
            max_tokens=60,
            stream=True,
        )
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    answer = orjson.loads(said)
    assert set(answer) == {"city", "capital"}
    assert isinstance(answer["capital"], bool)


async def test_the_default_model_knows_the_capital_of_france(default_model: Path) -> None:
    async with _client_of(default_model) as client:
        answer = await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
            max_tokens=30,
        )
        assert "Paris" in (answer.choices[0].message.content or "")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.model == "SmolLM2-135M-Instruct"
        multibyte = await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Repeat exactly: 🌊 naïve 日本"}],
            temperature=0,
            max_tokens=30,
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in multibyte if chunk.choices]
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
