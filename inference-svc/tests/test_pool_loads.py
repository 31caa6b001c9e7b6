"""Loads on the way: joined, followed, failed."""

from __future__ import annotations

import asyncio
import gc
import weakref

import orjson
import pytest

from inference.checkpoint.errors import CheckpointError
from inference.loaded_model import LoadedModel
from tests.fake_loader import FakeLoader
from tests.pool_service import ask, load, loader_of, models, states
from tests.service import fake_model, running


async def test_loads_of_one_model_at_once_are_one_load() -> None:
    loader = loader_of("a")
    async with running(fake_model("x"), loader=loader) as service:
        loader.open.clear()
        calls = [asyncio.create_task(ask(service, "a")) for _ in range(2)]
        calls.append(asyncio.create_task(load(service, "a")))
        while (await models(service))["a"]["in_use"] < 2:
            await asyncio.sleep(0.001)
        assert (await states(service))["a"] == "loading"
        loader.open.set()
        assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200, 200]
        assert loader.loaded.count("a") == 1


async def test_a_load_goes_on_when_the_one_who_asked_has_left() -> None:
    loader = loader_of("a")
    async with running(fake_model("x"), loader=loader) as service:
        loader.open.clear()
        call = asyncio.create_task(ask(service, "a"))
        while (await states(service))["a"] != "loading":
            await asyncio.sleep(0.001)
        call.cancel()
        while (await models(service))["a"]["in_use"]:
            await asyncio.sleep(0.001)
        loader.open.set()
        while (await states(service))["a"] == "loading":
            await asyncio.sleep(0.001)
        assert (await states(service))["a"] == "loaded"


async def test_the_steps_of_a_load_come_as_events_and_last_the_model() -> None:
    async with running(fake_model("x"), loader=loader_of("a")) as service:
        events = [orjson.loads(event) for event in await service.events("/models/a/load", {"stream": True})]
        assert events[:2] == [
            {"state": "loading", "message": "looking for a"},
            {"state": "loading", "loaded_bytes": 5, "total_bytes": 10},
        ]
        assert events[-1] == (await models(service))["a"]
        assert (events[-1]["state"], events[-1]["bytes"]) == ("loaded", 10)
        again = await service.events("/models/a/load", {"stream": True})
        assert [orjson.loads(event)["state"] for event in again] == ["loaded"]


async def test_a_load_that_fails_says_why_to_the_operator_and_frees_what_it_took() -> None:
    loader = loader_of("a", budget=20, failures={"a": CheckpointError("the folder /m is empty")})
    async with running(fake_model("x"), loader=loader) as service:
        status, answer = await load(service, "a")
        assert (status, answer) == (500, {"error": "the folder /m is empty", "error_type": "load_failed"})
        (*_, last) = await service.events("/models/a/load", {"stream": True})
        assert orjson.loads(last) == answer
        assert (await ask(service, "a"))[1]["error"] == "the model a could not be loaded"
        told = (await models(service))["a"]
        assert (told["state"], told["bytes"], told["error"]) == ("failed", 0, "the folder /m is empty")
        del loader.failures["a"]
        assert (await ask(service, "a"))[0] == 200
        assert "error" not in (await models(service))["a"]


async def test_an_unforeseen_error_of_a_load_shows_nothing_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Promise 62: an exception's text reaches no caller."""
    loader = loader_of("a", failures={"a": RuntimeError("canary-secret")})
    async with running(fake_model("x"), loader=loader) as service:
        status, answer = await load(service, "a")
        assert (status, answer["error_type"]) == (500, "internal")
        assert "canary" not in answer["error"]
        assert "canary" not in orjson.dumps(await models(service)).decode()
    assert "canary-secret" in caplog.text


async def test_what_a_failed_load_has_made_is_gone() -> None:
    class Weights:
        pass

    made: list[weakref.ref[Weights]] = []

    def failing() -> LoadedModel:
        weights = Weights()
        made.append(weakref.ref(weights))
        raise CheckpointError(f"half of {weights}")

    async with running(fake_model("x"), loader=FakeLoader({"a": failing})) as service:
        gc.disable()
        try:
            assert (await load(service, "a"))[0] == 500
            assert made[0]() is None
        finally:
            gc.enable()
