"""Several models under one budget: who is loaded, who has to leave, and who is told to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from tests.fake_engine import FakeEngine
from tests.pool_service import ASK, ask, load, loader_of, models, states
from tests.service import fake_model, running


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
