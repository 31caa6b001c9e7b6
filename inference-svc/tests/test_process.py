"""The service as a process: start, signals, exit statuses, and the clients that people use."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.process import is_healthy, started, until_healthy

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
        await until_healthy(service.url)
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


async def test_a_client_that_leaves_frees_the_engine_for_the_next(checkpoint: Callable[[str], Path]) -> None:
    """Promise 35: a client that leaves in mid-stream cancels the generation."""
    long = {"inputs": "the sea", "parameters": {"max_new_tokens": 450}}
    async with (
        started(checkpoint("deepseek-v3"), {"MAX_CONCURRENT_REQUESTS": "1"}) as service,
        aiohttp.ClientSession() as http,
    ):
        await service.line("model loaded")
        await until_healthy(service.url)
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
        await until_healthy(service.url)
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
