"""Who gets in, who is turned away, and what happens when somebody leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service import LIMITS, Service, fake_model, running

GENERATE = {"inputs": "x"}


async def status_of(service: Service, path: str) -> tuple[int, str]:
    async with service.http.get(service.url + path) as response:
        return response.status, await response.text()


async def samples(service: Service) -> dict[str, float]:
    """Every sample of the metrics page by its name and labels."""
    _, text = await status_of(service, "/metrics")
    families = text_string_to_metric_families(text)
    return {
        sample.name + "".join(f"{{{v}}}" for v in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def test_until_the_model_has_loaded_requests_are_told_so_but_the_process_is_alive() -> None:
    async with running(fake_model("a"), ready=False) as service:
        unhealthy = {"error": "unhealthy: loading", "error_type": "healthcheck"}
        assert await service.post("/generate", GENERATE) == (503, unhealthy)
        assert (await status_of(service, "/health"))[0] == 503
        assert "loading" in (await status_of(service, "/health"))[1]
        assert (await status_of(service, "/ping"))[0] == 200
        await service.serving.start()
        assert await status_of(service, "/health") == (200, "")


async def test_an_engine_that_hangs_in_a_step_is_unhealthy_and_asks_for_a_restart() -> None:
    async with running(fake_model("a")) as service:
        service.engine.step_s = 60.0  # a slow processor, a large model
        assert (await status_of(service, "/health"))[0] == (await status_of(service, "/ping"))[0] == 200
        service.engine.step_s = 301.0
        for path in ("/health", "/ping"):
            status, text = await status_of(service, path)
            assert status == 503
            assert "a step of the engine hangs since 301 s" in text


async def test_an_engine_that_has_failed_is_unhealthy_and_asks_for_a_restart() -> None:
    async with running(fake_model("a")) as service:
        service.engine.alive = False
        for path in ("/health", "/ping"):
            status, text = await status_of(service, path)
            assert status == 503
            assert "the engine has failed and computes nothing any more" in text


async def test_one_request_too_many_is_told_that_the_model_is_overloaded() -> None:
    model = fake_model("abc", limits=replace(LIMITS, max_concurrent_requests=1), gated=True)
    async with running(model) as service:
        first = asyncio.create_task(service.post("/generate", GENERATE))
        await service.engine.started.wait()
        for path in ("/generate", "/generate_stream"):
            status, body = await service.post(path, GENERATE)
            assert (status, body) == (429, {"error": "Model is overloaded", "error_type": "overloaded"})
        assert service.engine.gate
        for _ in range(4):
            service.engine.gate.release()
        assert (await first)[0] == 200
        service.engine.gate.release()
        assert (await samples(service))["tgi_request_failure{overloaded}"] == 2


@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/v1/chat/completions"])
async def test_a_client_that_leaves_ends_its_generation_and_frees_its_place(path: str) -> None:
    """Promise 35: a client that leaves in mid-stream cancels the generation."""
    model = fake_model("abcdef", limits=replace(LIMITS, max_concurrent_requests=1), gated=True)
    body = {**GENERATE, "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with running(model) as service:
        call = asyncio.create_task(service.http.post(service.url + path, json=body))
        await service.engine.started.wait()
        assert service.engine.gate
        service.engine.gate.release()
        if path != "/generate":
            response = await call
            await response.content.readuntil(b"\n\n")
            response.close()
        else:
            call.cancel()
        await service.engine.closed.wait()
        assert service.engine.produced <= 1
        await service.serving.idle()


async def test_while_draining_nothing_new_is_taken_and_what_runs_is_finished() -> None:
    """Promise 57: SIGTERM under streams: drained."""
    async with running(fake_model("ab", gated=True)) as service:
        running_call = asyncio.create_task(service.post("/generate", GENERATE))
        await service.engine.started.wait()
        service.serving.drain()
        assert (await service.post("/generate", GENERATE))[0] == 503
        assert "draining" in (await status_of(service, "/health"))[1]
        idle = asyncio.create_task(service.serving.idle())
        assert service.engine.gate
        for _ in range(3):
            service.engine.gate.release()
        assert await running_call == (200, {"generated_text": "ab"})
        await idle


async def test_a_model_that_loads_while_draining_is_not_served() -> None:
    async with running(fake_model("a"), ready=False) as service:
        service.serving.drain()
        await service.serving.start()
        assert (await service.post("/generate", GENERATE))[0] == 503


async def test_metrics_have_tgis_names_and_count_what_happened() -> None:
    async with running(fake_model("abc")) as service:
        await service.post("/generate", GENERATE)
        await service.events("/generate_stream", GENERATE)
        await service.post("/generate", {"inputs": ""})
        await status_of(service, "/nowhere")
        counted = await samples(service)
    assert counted["tgi_request_count"] == 3
    assert counted["tgi_request_success"] == 2
    assert counted["tgi_request_failure{validation}"] == 1
    assert counted["tgi_request_generated_tokens_sum"] == 8
    assert counted["tgi_request_input_length_sum"] == 2
    assert counted["tgi_queue_size"] == 0
    for name in ("", "_queue", "_validation", "_inference", "_mean_time_per_token"):
        assert counted[f"tgi_request{name}_duration_count"] == 2


async def test_tokens_that_came_along_in_a_step_are_counted_for_each_step() -> None:
    async with running(fake_model("abcdef", step_tokens=3)) as service:
        await service.post("/generate", GENERATE | {"parameters": {"max_new_tokens": 10}})
        counted = await samples(service)
    assert counted["tgi_request_skipped_tokens_count"] == 3
    assert counted["tgi_request_skipped_tokens_sum"] == 2 + 2 + 0


async def test_info_has_tgis_fields_and_the_engines_own() -> None:
    async with running(fake_model("a")) as service, service.http.get(service.url + "/info") as response:
        info = await response.json()
    assert info["model_id"] == "fake-model"
    assert info["model_dtype"] == "torch.float32"
    assert info["model_device_type"] == "cpu"
    assert (info["max_input_tokens"], info["max_total_tokens"]) == (48, 64)
    assert info["max_concurrent_requests"] == 2
    assert info["speculate"] == 0
    assert info["version"]


async def test_unknown_paths_and_methods_have_the_same_form_of_error() -> None:
    async with running(fake_model("a")) as service:
        assert await service.post("/nowhere", {}) == (
            404,
            {"error": "there is no POST /nowhere", "error_type": "not_found"},
        )
        async with service.http.get(service.url + "/generate") as response:
            assert (response.status, (await response.json())["error_type"]) == (405, "method_not_allowed")


async def test_an_unforeseen_error_shows_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Promise 62: an exception's text reaches no caller."""
    model = fake_model("a")
    async with running(model) as service:
        service.engine.script = ["canary-secret"]  # type: ignore[list-item]  # breaks inside the handler
        status, body = await service.post("/generate", GENERATE)
        events = await service.events("/generate_stream", GENERATE)
    assert (status, body["error_type"]) == (500, "internal")
    assert "canary" not in body["error"]
    assert b"internal" in events[-1]
    assert not any(b"canary" in event for event in events)
    assert "failed unexpectedly" in caplog.text


async def test_a_request_is_counted_once_however_it_ends_and_however_many_answers_it_has() -> None:
    async with running(fake_model("abc")) as service:
        sampled = {"do_sample": True, "best_of": 2}
        assert (await service.post("/generate", {"inputs": "x", "parameters": sampled}))[0] == 200
        chat = {"messages": [{"role": "user", "content": "x"}], "n": 2}
        assert (await service.post("/v1/chat/completions", chat))[0] == 200
        for body in ({"inputs": 3}, {"inputs": "x", "parameters": 1}):
            assert (await service.post("/generate", body))[0] == 422
        assert (await service.post("/tokenize", {}))[0] == 422
        counted = await samples(service)
    assert counted["tgi_request_count"] == 4
    assert counted["tgi_request_success"] == 2
    assert counted["tgi_request_failure{validation}"] == 2
    assert counted["tgi_request_duration_count"] == 4  # generations


async def test_a_stream_that_fails_is_a_failure_and_no_success() -> None:
    async with running(fake_model("abc", fail_after=1)) as service:
        await service.events("/generate_stream", GENERATE)
        counted = await samples(service)
    assert (counted["tgi_request_success"], counted["tgi_request_failure{generation}"]) == (0, 1)


async def test_each_of_best_of_takes_a_place() -> None:
    model = fake_model("a", limits=replace(LIMITS, max_concurrent_requests=2), gated=True)
    async with running(model) as service:
        body = {"inputs": "x", "parameters": {"do_sample": True, "best_of": 2}}
        first = asyncio.create_task(service.post("/generate", body))
        await service.engine.started.wait()
        assert (await service.post("/generate", GENERATE))[0] == 429
        assert service.engine.gate
        for _ in range(4):
            service.engine.gate.release()
        assert (await first)[0] == 200
        out_of_range = {"inputs": "x", "parameters": {"do_sample": True, "best_of": 10**9}}
        assert (await service.post("/generate", out_of_range))[0] == 422


async def test_a_body_that_is_not_encoded_as_its_header_says_is_refused() -> None:
    async with running(fake_model("a")) as service:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        call = service.http.post(service.url + "/generate", data=b"{}", headers=headers)
        async with call as response:
            assert response.status == 400
            assert (await response.json())["error_type"] == "malformed_json"


async def test_the_root_tells_health_as_in_tgi() -> None:
    async with running(fake_model("a")) as service:
        assert (await status_of(service, "/"))[0] == 200
        service.serving.drain()
        assert (await status_of(service, "/"))[0] == 503


async def test_steps_of_the_engine_are_counted_under_tgis_names() -> None:
    async with running(fake_model("a")) as service:
        steps = service.engine.counts
        steps.begin("prefill", 3)
        steps.begin("decode", 16)
        steps.end("decode", 0.001, 0.02, 0.003)
        counted = await samples(service)
    of_decodes = "{decode}{fake-model}"
    assert counted["tgi_batch_inference_count{prefill}{fake-model}"] == 1
    assert counted["tgi_batch_inference_success{prefill}{fake-model}"] == 0
    assert counted["tgi_batch_inference_success" + of_decodes] == 1
    for name, seconds in (("filter", 0.001), ("forward", 0.02), ("decode", 0.003), ("inference", 0.024)):
        assert counted[f"tgi_batch_{name}_duration_sum{of_decodes}"] == pytest.approx(seconds)
        assert counted[f"tgi_batch_{name}_duration_count{of_decodes}"] == 1
    assert counted["tgi_batch_next_size_sum{fake-model}"] == 19
    assert counted["tgi_batch_next_size_bucket{8}{fake-model}"] == 1
    assert counted["tgi_batch_current_max_tokens"] == 0
