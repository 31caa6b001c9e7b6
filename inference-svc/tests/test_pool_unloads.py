"""Models that leave, and who meets them on the way."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from inference.errors import ModelInUseError
from inference.loaded_model import LoadedModel
from tests.fake_engine import FakeEngine
from tests.fake_loader import FakeLoader
from tests.pool_service import ask, load, loader_of, models, states
from tests.service import Service, fake_model, running


async def test_an_unloaded_model_is_gone_and_its_memory_free() -> None:
    alive: list[weakref.ref[FakeEngine]] = []

    def make() -> LoadedModel:
        model = fake_model("a", name="a")
        assert isinstance(model.engine, FakeEngine)
        model.engine.itself = model.engine  # as parts of a real one do
        alive.append(weakref.ref(model.engine))
        return model

    async with running(fake_model("x"), loader=FakeLoader({"a": make}, budget=20)) as service:
        await ask(service, "a")
        gc.collect()
        gc.disable()
        try:
            assert (await service.post("/models/a/unload", {}))[1]["state"] == "unloaded"
            assert alive[0]() is None
        finally:
            gc.enable()
        assert (await service.post("/models/a/unload", {}))[0] == 200  # twice is harmless
        assert (await models(service))["a"]["bytes"] == 0
        status, answer = await service.post("/models/fake-model/unload", {})
        assert (status, answer["error_type"]) == (409, "model_in_use")


async def leaving(service: Service, name: str, engine: FakeEngine) -> asyncio.Task[Any]:
    """An unload that has begun and is held up; the model has been loaded for it."""
    assert (await load(service, name))[0] == 200
    engine.may_close.clear()
    call = asyncio.create_task(service.post(f"/models/{name}/unload", {}))
    while (await states(service))[name] != "unloaded":
        await asyncio.sleep(0.001)
    return call


def slow_to_leave(name: str) -> tuple[LoadedModel, FakeEngine]:
    model = fake_model(name, name=name)
    assert isinstance(model.engine, FakeEngine)
    return model, model.engine


@pytest.mark.parametrize("budget", [20, None])
async def test_a_load_that_meets_an_unload_waits_for_its_end(budget: int | None) -> None:
    model, engine = slow_to_leave("a")
    loader = FakeLoader({"a": lambda: model}, budget=budget)
    async with running(fake_model("x"), loader=loader) as service:
        unloading = await leaving(service, "a", engine)
        loading = asyncio.create_task(load(service, "a"))
        while loader.prepared.count("a") < 2:
            await asyncio.sleep(0.001)
        told = (await models(service))["a"]
        assert (told["state"], told["bytes"]) == ("loading", 10)
        engine.may_close.set()
        assert (await unloading)[0] == 200
        assert (await loading)[0] == 200
        told = (await models(service))["a"]
        assert (told["state"], told["bytes"]) == ("loaded", 10)


async def test_nobody_is_evicted_for_room_that_an_unload_is_just_making() -> None:
    model, engine = slow_to_leave("a")
    loader = loader_of("bc", budget=30)
    loader.others["a"] = lambda: model
    async with running(fake_model("x"), loader=loader) as service:
        await ask(service, "b")
        unloading = await leaving(service, "a", engine)
        loading = asyncio.create_task(load(service, "c"))
        while "c" not in loader.prepared:
            await asyncio.sleep(0.001)
        assert (await ask(service, "b"))[0] == 200  # one that is loaded waits for nothing
        engine.may_close.set()
        assert [status for status, _ in await asyncio.gather(unloading, loading)] == [200, 200]
        assert await states(service) == {
            "fake-model": "loaded",
            "b": "loaded",
            "c": "loaded",
            "a": "unloaded",
        }
        assert loader.loaded.count("b") == 1


async def test_a_model_that_a_request_uses_by_the_time_is_not_unloaded() -> None:
    model, engine = slow_to_leave("a")
    loader = loader_of("b")
    loader.others["a"] = lambda: model
    async with running(fake_model("x"), loader=loader) as service:
        await load(service, "b")
        first = await leaving(service, "a", engine)
        second = asyncio.create_task(service.serving.pool.unload("b"))
        await asyncio.sleep(0)
        async with service.serving.pool.use("b"):
            engine.may_close.set()
            with pytest.raises(ModelInUseError, match="the model b is used by 1 requests"):
                await second
        assert (await first)[0] == 200
        assert loader.loaded.count("b") == 1


async def test_an_unload_goes_on_when_the_one_who_asked_has_left() -> None:
    model, engine = slow_to_leave("a")
    loader = loader_of("b", budget=20)
    loader.others["a"] = lambda: model
    async with running(fake_model("x"), loader=loader) as service:
        await load(service, "a")
        engine.may_close.clear()
        call = asyncio.create_task(service.serving.pool.unload("a"))
        while (await states(service))["a"] != "unloaded":
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.wait([call])
        engine.may_close.set()
        assert (await load(service, "b"))[0] == 200
        assert (await models(service))["a"]["bytes"] == 0


async def test_a_model_that_hangs_as_it_is_unloaded_is_unhealthy_and_asks_for_a_restart() -> None:
    model, engine = slow_to_leave("a")
    async with running(fake_model("x"), loader=FakeLoader({"a": lambda: model})) as service:
        unloading = await leaving(service, "a", engine)
        engine.step_s = 301.0
        async with service.http.get(service.url + "/ping") as response:
            assert (response.status, "hangs since 301 s" in await response.text()) == (503, True)
        engine.may_close.set()
        assert (await unloading)[0] == 200
        async with service.http.get(service.url + "/ping") as response:
            assert response.status == 200
