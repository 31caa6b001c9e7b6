"""Adapters chosen a request: by TGI's `adapter_id`, or named as a model."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.service import Service, fake_model, running

CHAT = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}


def adapted() -> Any:
    return running(fake_model("yes", adapters=("poet", "clerk")))


async def read(service: Service, path: str) -> Any:
    async with service.http.get(service.url + path) as response:
        return response.status, await response.read()


async def test_tgis_routes_choose_by_adapter_id_or_by_the_model_s_name() -> None:
    async with adapted() as service:
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/generate", {"inputs": "x", "parameters": {"adapter_id": "poet"}}),
            ("/", {"inputs": "x", "parameters": {"adapter_id": "clerk"}}),
            ("/generate", {"inputs": "x", "model": "poet"}),
            ("/generate", {"inputs": "x"}),
        ]
        for path, body in asked:
            assert (await service.post(path, body))[0] == 200
        await service.events("/generate_stream", asked[0][1])
        chosen = [request.adapter for request in service.engine.requests]
        assert chosen == ["poet", "clerk", "poet", None, "poet"]


async def test_the_openai_routes_choose_by_the_model_which_is_named_in_the_answer() -> None:
    async with adapted() as service:
        for name in ("poet", "fake-model", "tgi"):
            _, answer = await service.post("/v1/chat/completions", {**CHAT, "model": name})
            assert answer["model"] == ("poet" if name == "poet" else "fake-model")
        body = {"model": "clerk", "prompt": "x", "max_tokens": 2}
        assert (await service.post("/v1/completions", body))[1]["model"] == "clerk"
        assert [request.adapter for request in service.engine.requests] == ["poet", None, None, "clerk"]


async def test_an_unknown_adapter_is_a_422_with_those_there_are() -> None:
    async with adapted() as service:
        for path in ("/generate", "/", "/generate_stream"):
            body = {"inputs": "x", "parameters": {"adapter_id": "painter"}}
            assert await service.post(path, body) == (
                422,
                {
                    "error": "Input validation error: "
                    "`adapter_id` must be one of clerk, poet. Given: 'painter'",
                    "error_type": "validation",
                },
            )
        assert service.engine.requests == []


async def test_where_there_are_adapters_a_name_that_is_nobody_s_is_a_404() -> None:
    async with adapted() as service:
        status, answer = await service.post("/v1/chat/completions", {**CHAT, "model": "painter"})
        assert (status, answer["error_type"]) == (404, "model_not_found")
        assert "there is no model 'painter'" in answer["error"]


async def test_adapters_are_listed_behind_the_models_with_their_parent() -> None:
    async with adapted() as service:
        model = {"object": "model", "created": 0, "owned_by": "fake-model"}
        poet = {"id": "poet", **model, "parent": "fake-model"}
        clerk = {"id": "clerk", **model, "parent": "fake-model"}
        _, listed = await read(service, "/v1/models")
        assert orjson.loads(listed)["data"] == [{"id": "fake-model", **model}, clerk, poet]
        assert orjson.loads((await read(service, "/v1/models/poet"))[1]) == poet
        assert (await read(service, "/v1/models/painter"))[0] == 404


async def test_the_memory_of_adapters_is_told() -> None:
    async with adapted() as service:
        (model,) = orjson.loads((await read(service, "/info"))[1])["memory"]["models"]
        assert (model["bytes"], model["adapter_bytes"]) == (8 + 8 + 2, 8)
        _, metrics = await read(service, "/metrics")
        assert b'hadal_model_memory_bytes{for="adapters",model="fake-model"} 8.0' in metrics


@pytest.mark.parametrize("name", ["poet", None])
async def test_a_grammar_and_several_answers_go_with_an_adapter(name: str | None) -> None:
    async with adapted() as service:
        body = {**CHAT, "model": name or "fake-model", "n": 2, "response_format": {"type": "json_object"}}
        assert (await service.post("/v1/chat/completions", body))[0] == 200
        for request in service.engine.requests:
            assert (request.adapter, request.grammar is None) == (name, False)
