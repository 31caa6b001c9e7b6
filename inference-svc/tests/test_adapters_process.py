"""Adapters of a service in a process of its own: from `LORA_ADAPTERS` to the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.engine.lora.adapter_files import merged, write_adapter
from tests.process import ServiceProcess, is_healthy, started
from tests.test_process import run

pytestmark = pytest.mark.slow
PROMPT = "The engine computes a step for many sequences."


async def until_healthy(service: ServiceProcess) -> None:
    await service.line("model loaded")
    while not await is_healthy(service.url):
        pass


async def answer(http: aiohttp.ClientSession, url: str, **parameters: Any) -> str:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 12, **parameters}}
    async with http.post(url + "/generate", json=body) as response:
        assert response.status == 200, await response.text()
        text: str = orjson.loads(await response.read())["generated_text"]
        return text


async def test_an_adapter_answers_as_a_model_into_which_it_was_merged(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoint("qwen2")
    place = write_adapter(tmp_path / "poet", folder)
    environment = {"LORA_ADAPTERS": f"poet={place}", "DTYPE": "float32"}
    async with aiohttp.ClientSession() as http:
        async with started(folder, environment) as service:
            await until_healthy(service)
            plain, adapted = [
                await answer(http, service.url, **told) for told in ({}, {"adapter_id": "poet"})
            ]
            async with http.get(service.url + "/v1/models") as response:
                listed = orjson.loads(await response.read())["data"]
            async with http.get(service.url + "/info") as response:
                (memory,) = orjson.loads(await response.read())["memory"]["models"]
        async with started(merged(folder, place, tmp_path / "merged"), {"DTYPE": "float32"}) as service:
            await until_healthy(service)
            assert await answer(http, service.url) == adapted != plain
    assert [(model["id"], model.get("parent")) for model in listed] == [
        (folder.name, None),
        ("poet", folder.name),
    ]
    assert memory["adapter_bytes"] > 0
    assert memory["bytes"] == memory["weight_bytes"] + memory["adapter_bytes"] + memory["cache_bytes"]


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        ("a=/nowhere", "inference: the adapter /nowhere isn't there"),
        ("b=org/adapter", "inference: LORA_ADAPTERS must not have a model's name. Given: 'b'"),
    ],
)
def test_adapters_that_cannot_be_are_one_clear_line_and_status_2(adapters: str, said: str) -> None:
    result = run(MODEL_ID="org/a", MODELS="b=org/b", LORA_ADAPTERS=adapters)
    assert result.returncode == 2
    assert result.stderr.startswith(said)


@pytest.mark.parametrize(
    ("settings", "config", "said"),
    [
        ({"ENGINE": "transformers"}, {}, "transformers serves this model, and doesn't serve adapters"),
        ({}, {"use_dora": True}, "the adapter poet has use_dora, which isn't supported"),
    ],
)
def test_an_adapter_that_turns_out_not_to_fit_ends_the_process_with_status_2(
    settings: dict[str, str],
    config: dict[str, Any],
    said: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = checkpoint("llama")
    place = write_adapter(tmp_path / "poet", folder, **config)
    told = {"MODEL_ID": str(folder), "LORA_ADAPTERS": f"poet={place}", "PORT": "0", "HOSTNAME": "127.0.0.1"}
    result = run(**told, **settings)
    assert result.returncode == 2
    assert said in orjson.loads(result.stderr.splitlines()[-1])["message"]
