"""Several models under one budget: who is loaded, who has to leave, and who is told to wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from inference.checkpoint.errors import CheckpointError
from inference.errors import ModelInUseError
from inference.loaded_model import LoadedModel
from tests.fake_engine import FakeEngine
from tests.fake_loader import FakeLoader
from tests.service import Service, fake_model, running

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


async def test_a_request_chooses_its_model_which_is_loaded_for_it() -> None:
    async with running(fake_model("default"), loader=loader_of("ab")) as service:
        assert await states(service) == {"fake-model": "loaded", "a": "unloaded", "b": "unloaded"}
        assert await ask(service, "a") == (200, {"generated_text": "a"})
        body = {"model": "b", "messages": [{"role": "user", "content": "x"}]}
        status, answer = await service.post("/v1/chat/completions", body)
        assert (status, answer["model"], answer["choices"][0]["message"]["content"]) == (200, "b", "b")
        assert await service.post("/generate", ASK) == (200, {"generated_text": "default"})
        assert await states(service) == {"fake-model": "loaded", "a": "loaded", "b": "loaded"}


async def test_every_model_is_listed_as_openai_does_and_no_other_is_known() -> None:
    async with running(fake_model("x"), loader=loader_of("a")) as service:
        async with service.http.get(service.url + "/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["fake-model", "a"]
        async with service.http.get(service.url + "/v1/models/a") as response:
            assert (await response.json())["id"] == "a"
        for status, answer in (
            await ask(service, "../etc"),
            await load(service, "/etc/passwd"),
            await service.post("/models/nobody/unload", {}),
        ):
            assert (status, answer["error_type"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", ["default", "tgi", "dummy", ""])
async def test_clients_that_do_not_choose_get_the_default_model(name: str) -> None:
    async with running(fake_model("default"), loader=loader_of("a")) as service:
        assert await ask(service, name) == (200, {"generated_text": "default"})


async def test_where_there_is_one_model_every_name_means_it() -> None:
    async with running(fake_model("only")) as service:
        assert await ask(service, "gpt-17") == (200, {"generated_text": "only"})


async def test_the_model_used_longest_ago_makes_room() -> None:
    async with running(fake_model("x"), loader=loader_of("abc", budget=30)) as service:
        await ask(service, "a")
        await ask(service, "b")
        await ask(service, "a")
        assert (await ask(service, "c"))[0] == 200
        assert await states(service) == {
            "fake-model": "loaded",
            "a": "loaded",
            "b": "unloaded",
            "c": "loaded",
        }


async def test_the_model_loaded_a_moment_ago_is_not_the_one_that_makes_room() -> None:
    async with running(fake_model("x"), loader=loader_of("abc", budget=30)) as service:
        await ask(service, "a")
        await ask(service, "a")  # later than the clock's beginning
        await load(service, "b")
        assert (await ask(service, "c"))[0] == 200
        assert await states(service) == {
            "fake-model": "loaded",
            "a": "unloaded",
            "b": "loaded",
            "c": "loaded",
        }


async def test_a_model_in_use_is_never_dropped_and_who_needs_its_room_is_told_to_come_again() -> None:
    gate = asyncio.Semaphore(0)
    loader = loader_of("b", budget=20)
    busy = fake_model("a", name="a")
    assert isinstance(busy.engine, FakeEngine)
    busy.engine.gate = gate
    loader.others["a"] = lambda: busy
    async with running(fake_model("x"), loader=loader) as service:
        call = asyncio.create_task(ask(service, "a"))
        await busy.engine.started.wait()
        async with service.http.post(service.url + "/generate", json={**ASK, "model": "b"}) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
            assert (await refused.json())["error_type"] == "insufficient_memory"
        assert (await service.post("/models/a/unload", {}))[1]["error_type"] == "model_in_use"
        assert (await models(service))["a"]["in_use"] == 1
        gate.release()
        gate.release()
        assert await call == (200, {"generated_text": "a"})
        assert await ask(service, "b") == (200, {"generated_text": "b"})
        assert busy.engine.is_closed
        assert (await states(service))["a"] == "unloaded"


async def test_a_pinned_model_stays_until_it_is_let_go() -> None:
    async with running(fake_model("x"), loader=loader_of("ab", budget=20)) as service:
        assert (await load(service, "a", pinned=True))[1]["pinned"] is True
        status, answer = await ask(service, "b")
        assert (status, answer["error_type"]) == (422, "model_too_large")
        await load(service, "a", pinned=False)
        assert (await ask(service, "b"))[0] == 200
        await load(service, "fake-model", pinned=False)
        assert (await models(service))["fake-model"]["pinned"] is True


async def test_a_load_that_is_refused_for_now_leaves_no_trace() -> None:
    busy = fake_model("a", name="a", gated=True)
    loader = loader_of("b", budget=20)
    loader.others["a"] = lambda: busy
    async with running(fake_model("x"), loader=loader) as service:
        assert isinstance(busy.engine, FakeEngine)
        call = asyncio.create_task(ask(service, "a"))
        await busy.engine.started.wait()
        before = (await models(service))["b"]
        assert (await load(service, "b", pinned=True))[0] == 503
        (*_, last) = await service.events("/models/b/load", {"pinned": True, "stream": True})
        assert orjson.loads(last)["error_type"] == "insufficient_memory"
        assert (await models(service))["b"] == before
        assert (before["state"], before["pinned"]) == ("unloaded", False)
        assert busy.engine.gate
        busy.engine.gate.release()
        busy.engine.gate.release()
        assert (await call)[0] == 200
        assert (await ask(service, "b"))[0] == 200
        assert (await models(service))["b"]["pinned"] is False


async def test_whoever_joins_a_load_may_pin_the_model_and_it_is_pinned_though_they_leave() -> None:
    loader = loader_of("a")
    async with running(fake_model("x"), loader=loader) as service:
        loader.open.clear()
        call = asyncio.create_task(ask(service, "a"))
        while (await states(service))["a"] != "loading":
            await asyncio.sleep(0.001)
        async with service.http.post(
            service.url + "/models/a/load", json={"stream": True, "pinned": True}
        ) as joined:
            await joined.content.readuntil(b"\n\n")
        assert (await models(service))["a"]["pinned"] is False
        loader.open.set()
        assert (await call)[0] == 200
        assert (await models(service))["a"]["pinned"] is True


async def test_what_would_never_fit_evicts_nobody() -> None:
    async with running(fake_model("x"), loader=loader_of("ab", budget=30, needs={"b": 21})) as service:
        await ask(service, "a")
        assert (await ask(service, "b"))[1]["error_type"] == "model_too_large"
        assert (await states(service))["a"] == "loaded"


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


async def test_while_draining_a_request_that_waits_for_its_model_is_finished_and_nothing_new_begins() -> None:
    """Promise 57: SIGTERM under streams: drained."""
    loader = loader_of("ab")
    async with running(fake_model("x"), loader=loader) as service:
        loader.open.clear()
        call = asyncio.create_task(ask(service, "a"))
        while (await states(service))["a"] != "loading":
            await asyncio.sleep(0.001)
        service.serving.drain()
        assert (await load(service, "b"))[0] == 503
        loader.open.set()
        assert await call == (200, {"generated_text": "a"})
        await service.serving.idle()
        assert (await states(service))["b"] == "unloaded"


async def test_info_and_metrics_tell_what_memory_is_used_for() -> None:
    async with running(fake_model("x"), loader=loader_of("ab", budget=30)) as service:
        await ask(service, "a")
        async with service.http.get(service.url + "/info") as response:
            memory = (await response.json())["memory"]
        assert (memory["budget_bytes"], memory["reserved_bytes"]) == (30, 20)
        assert [(model["id"], model["bytes"]) for model in memory["models"]] == [
            ("fake-model", 10),
            ("a", 10),
            ("b", 0),
        ]
        async with service.http.get(service.url + "/metrics") as response:
            lines = (await response.text()).splitlines()
    assert_samples(
        lines,
        [
            'hadal_model_memory_bytes{for="weights",model="a"} 8.0',
            'hadal_model_memory_bytes{for="cache",model="fake-model"} 2.0',
            'hadal_model_in_use{model="a"} 0.0',
            "hadal_models_reserved_bytes 20.0",
            "hadal_models_budget_bytes 30.0",
        ],
    )


def assert_samples(lines: Sequence[str], expected: Sequence[str]) -> None:
    assert [line for line in expected if line not in lines] == []


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
