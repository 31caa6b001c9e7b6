"""What the tests of several models in one service share."""

from __future__ import annotations

from typing import Any

import orjson

from tests.fake_loader import FakeLoader
from tests.service import Service, fake_model

ASK = {"inputs": "x"}


def loader_of(names: str, **behaviour: Any) -> FakeLoader:
    """Models with names of one letter, each of which answers its name."""

    def maker(name: str) -> Any:
        return lambda: fake_model(name, name=name)

    return FakeLoader({name: maker(name) for name in names}, **behaviour)


async def models(service: Service) -> dict[str, dict[str, Any]]:
    async with service.http.get(service.url + "/models") as response:
        return {model["id"]: model for model in orjson.loads(await response.read())["models"]}


async def states(service: Service) -> dict[str, str]:
    return {name: model["state"] for name, model in (await models(service)).items()}


async def load(service: Service, name: str, **body: Any) -> tuple[int, Any]:
    return await service.post(f"/models/{name}/load", body)


async def ask(service: Service, name: str) -> tuple[int, Any]:
    return await service.post("/generate", {**ASK, "model": name})
