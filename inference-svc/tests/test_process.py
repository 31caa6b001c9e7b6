"""The service as a process: start, signals, exit statuses, and the clients that people use."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import openai
import orjson
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import OverloadedError, ValidationError

from tests.process import is_healthy, started

pytestmark = pytest.mark.slow
STREAMS = 16


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the service's command to its end."""
    command = [sys.executable, "-m", "inference", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_help_lists_every_setting_and_its_meaning() -> None:
    result = run("--help")
    assert result.returncode == 0
    for name in ("--model-id", "--hostname", "--port", "--max-total-tokens", "--max-concurrent-requests"):
        assert name in result.stdout


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({"MODEL_ID": "/nowhere/at/all"}, ["inference: the model /nowhere/at/all isn't there"]),
        (
            {"PORT": "x", "MODEL_ID": ""},
            ["inference: MODEL_ID is missing", "inference: PORT must be an integer"],
        ),
        ({"MODEL_ID": "a/b", "MODELS": "x=/nowhere"}, ["inference: the model /nowhere isn't there"]),
        ({"MODEL_ID": "a/b", "MODELS": "a/b"}, ["inference: MODELS must not have the default model's name"]),
    ],
)
def test_what_cannot_be_served_is_one_clear_line_each_and_status_2(
    environment: dict[str, str], lines: list[str]
) -> None:
    result = run(**environment)
    assert result.returncode == 2
    written = result.stderr.splitlines()
    assert len(written) == len(lines)
    assert all(line.startswith(start) for line, start in zip(written, lines, strict=True))


def test_a_port_in_use_is_one_clear_line_and_status_2(checkpoint: Callable[[str], Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port), "--hostname", "127.0.0.1", MODEL_ID=str(checkpoint("llama")))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"can't listen on 127.0.0.1 port {port}" in orjson.loads(line)["message"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PACKING": "native", "DTYPE": "float32"}, "there is no weight packing 'native' for torch.float32"),
        ({"KERNELS": "native", "DTYPE": "float16"}, "the kernels 'native' compute float32 and bfloat16"),
        ({"QUANTIZE": "packed"}, "QUANTIZE=packed computes a GGUF's own blocks, but this model has none"),
        ({"MAX_BATCH_TOTAL_TOKENS": "2000000000"}, "there is too little memory"),
    ],
)
def test_a_choice_that_cannot_be_had_is_one_clear_line_and_status_2(
    environment: dict[str, str], said: str, checkpoint: Callable[[str], Path]
) -> None:
    result = run("--port", "0", "--hostname", "127.0.0.1", MODEL_ID=str(checkpoint("llama")), **environment)
    assert result.returncode == 2
    listening, error = map(orjson.loads, result.stderr.splitlines())
    assert listening["message"] == "listening"
    assert said in error["message"]


async def test_a_model_that_turns_out_to_be_broken_ends_the_process_with_status_2(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((checkpoint("llama") / name).read_bytes())
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    async with started(tmp_path) as service:
        assert await service.process.wait() == 2


async def test_http_answers_while_the_model_loads_and_sigterm_ends_that_too(
    checkpoint: Callable[[str], Path],
) -> None:
    async with started(checkpoint("llama")) as service:
        assert not await is_healthy(service.url)
        service.process.terminate()
        assert await service.process.wait() == 0


async def test_sigterm_finishes_what_generates_and_takes_nothing_new(
    checkpoint: Callable[[str], Path],
) -> None:
    """Promise 57: SIGTERM under streams: drained. So many of them that they take a while."""
    request = {"inputs": "the sea", "parameters": {"max_new_tokens": 450}}
    async with (
        started(checkpoint("llama"), {"SPECULATE": "0"}) as service,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as opened,
    ):
        loaded = await service.line("model loaded")
        assert loaded["dtype"].startswith("torch.")
        assert loaded["dtype_reason"]
        await _until_healthy(service.url)
        calls = (http.post(service.url + "/generate_stream", json=request) for _ in range(STREAMS))
        streams = [await opened.enter_async_context(call) for call in calls]
        for stream in streams:
            await stream.content.readuntil(b"\n\n")
        service.process.terminate()
        await service.line("draining")
        async with http.post(service.url + "/generate", json=request) as refused:
            assert refused.status == 503
        for stream in streams:
            events = (await stream.content.read()).split(b"\n\n")
            assert orjson.loads(events[-2].removeprefix(b"data:"))["generated_text"]
        assert await service.process.wait() == 0


async def _until_healthy(url: str) -> None:
    while not await is_healthy(url):
        await asyncio.sleep(0.01)


async def test_a_client_that_leaves_frees_the_engine_for_the_next(checkpoint: Callable[[str], Path]) -> None:
    """Promise 35: a client that leaves in mid-stream cancels the generation."""
    long = {"inputs": "the sea", "parameters": {"max_new_tokens": 450}}
    async with (
        started(checkpoint("deepseek-v3"), {"MAX_CONCURRENT_REQUESTS": "1"}) as service,
        aiohttp.ClientSession() as http,
    ):
        await service.line("model loaded")
        await _until_healthy(service.url)
        stream = await http.post(service.url + "/generate_stream", json=long)
        await stream.content.readuntil(b"\n\n")
        stream.close()
        while (await _metric(http, service.url, "tgi_batch_current_size")) != 0:
            await asyncio.sleep(0.001)
        assert await _metric(http, service.url, "tgi_request_success") == 0
        async with http.post(
            service.url + "/generate", json={"inputs": "x", "parameters": {"max_new_tokens": 1}}
        ) as answer:
            assert answer.status == 200


async def test_several_models_share_a_budget_and_a_broken_one_harms_no_other(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((checkpoint("qwen2") / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"")
    names = {name: checkpoint(name) for name in ("qwen2", "qwen3", "deepseek-v3")} | {"broken": tmp_path}
    variables = {
        "MODELS": ",".join(f"{name}={folder}" for name, folder in names.items()),
        "MAX_BATCH_TOTAL_TOKENS": "1024",
        "MODEL_MEMORY_BUDGET": "5000000",  # the default model and two of the others
        "SERVED_MODEL_NAME": "default-model",
        "DTYPE": "float32",
    }
    body = {"inputs": "the sea", "parameters": {"max_new_tokens": 3}}
    async with started(checkpoint("llama"), variables) as service, aiohttp.ClientSession() as http:
        await _until_healthy(service.url)
        for name in ("qwen2", "qwen3", "deepseek-v3"):
            async with http.post(service.url + "/generate", json=body | {"model": name}) as answer:
                assert answer.status == 200, await answer.text()
        async with http.get(service.url + "/models") as listed:
            told = await listed.json()
        assert [model["state"] for model in told["models"]] == [
            *("loaded", "unloaded", "loaded", "loaded", "unloaded")
        ]
        assert told["reserved_bytes"] <= told["budget_bytes"] == 5_000_000
        async with http.post(service.url + "/models/broken/load") as failed:
            assert (failed.status, (await failed.json())["error_type"]) == (500, "load_failed")
        async with http.post(service.url + "/generate", json=body) as answer:
            assert answer.status == 200
        service.process.terminate()
        assert await service.process.wait() == 0


async def _metric(http: aiohttp.ClientSession, url: str, name: str) -> float:
    async with http.get(url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_the_openai_and_hugging_face_clients_work_unchanged(checkpoint: Callable[[str], Path]) -> None:
    async with started(checkpoint("qwen2")) as service:
        await service.line("model loaded")
        await _until_healthy(service.url)
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
        await _until_healthy(service.url)
        async with http.post(service.url + "/generate_stream", json=long) as stream:
            await stream.content.readuntil(b"\n\n")
            with pytest.raises(OverloadedError, match="Model is overloaded"):
                await client.text_generation("x", max_new_tokens=1)


@asynccontextmanager
async def _client_of(model: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    async with started(model) as service:
        await service.line("model loaded")
        await _until_healthy(service.url)
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
