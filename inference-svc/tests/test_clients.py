"""Tools and several answers through the clients that people use, on random weights held to a grammar."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from huggingface_hub import AsyncInferenceClient

from tests.process import is_healthy, started
from tests.test_tools import SOUND, TEMPLATE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # an environment may have to be made

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
NAMED: Any = {"type": "function", "function": {"name": "sound"}}
SURFACE: dict[str, Any] = {  # its arguments end soon, whatever random weights would say
    "type": "function",
    "function": {"name": "surface", "parameters": SOUND["function"]["parameters"]},
}
TEXT_GENERATION = "text-generation==0.7.0"


@asynccontextmanager
async def calling_service(checkpoint: Path, folder: Path) -> AsyncIterator[str]:
    """The URL of a service whose model's template has tools."""
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    async with started(folder) as service:
        await service.line("model loaded")
        while not await is_healthy(service.url):
            await asyncio.sleep(0.01)
        yield service.url


async def test_the_openai_client_calls_tools_and_takes_several_answers(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    async with calling_service(checkpoint("qwen2"), tmp_path) as url:
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
        asked: dict[str, Any] = {"model": "m", "messages": HELLO, "tools": [SOUND, SURFACE], "seed": 3}
        whole = await client.chat.completions.create(**asked, tool_choice=NAMED, n=2)
        for choice in whole.choices:
            assert choice.finish_reason == "tool_calls"
            assert choice.message.content is None
            (call,) = choice.message.tool_calls
            assert call.function.name == "sound"
            assert 0 <= orjson.loads(call.function.arguments)["metres"] <= 99
        streamed = ["", ""]
        names = []
        async for chunk in await client.chat.completions.create(**asked, tool_choice=NAMED, n=2, stream=True):
            for call in chunk.choices[0].delta.tool_calls or []:
                names += [call.function.name] if call.id else []
                streamed[chunk.choices[0].index] += call.function.arguments
        assert names == ["sound", "sound"]
        said = [choice.message.tool_calls[0].function.arguments for choice in whole.choices]
        assert streamed == said, "the same seeds say the same"
        required: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}
        async with client.chat.completions.stream(**asked, **required) as events:
            async for _ in events:
                pass
            final = await events.get_final_completion()
        (call,) = final.choices[0].message.tool_calls or []
        assert call.function.name in {"sound", "surface"}
        completion = await client.completions.create(model="m", prompt=["the", "sea"], n=2, max_tokens=3)
        assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]


async def test_the_hugging_face_client_calls_tools(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    async with (
        calling_service(checkpoint("qwen2"), tmp_path) as url,
        AsyncInferenceClient(model=url) as client,
    ):
        answer = await client.chat_completion(HELLO, tools=[SOUND], tool_choice=NAMED, seed=3)
        assert answer.choices[0].message.tool_calls is not None
        assert answer.choices[0].message.tool_calls[0].function.name == "sound"
        stream = await client.chat_completion(HELLO, tools=[SOUND], tool_choice=NAMED, seed=3, stream=True)
        pieces = [chunk.choices[0].delta.tool_calls or [] async for chunk in stream]
        arguments = "".join(call.function.arguments for calls in pieces for call in calls)
        assert arguments == answer.choices[0].message.tool_calls[0].function.arguments


@pytest.fixture(scope="session")
def text_generation_python(pytestconfig: pytest.Config) -> Path:
    """A Python with the `text-generation` client, made once and kept between runs."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("environments") / TEXT_GENERATION
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        uv = shutil.which("uv")
        make = [uv, "venv"] if uv else [sys.executable, "-m", "venv"]
        install = (
            [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
        )
        subprocess.run([*make, "--clear", str(folder)], check=True)
        subprocess.run([*install, TEXT_GENERATION], check=True)
        (folder / "whole").touch()
    return python


async def test_the_text_generation_client_works_unchanged(
    checkpoint: Callable[[str], Path], tmp_path: Path, text_generation_python: Path
) -> None:
    script = Path(__file__).parent / "text_generation_client.py"
    async with calling_service(checkpoint("qwen2"), tmp_path) as url:
        client = await asyncio.create_subprocess_exec(
            *(text_generation_python, script, url),
            env={"PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await client.communicate()
    assert client.returncode == 0, output.decode()
