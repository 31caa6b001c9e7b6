"""Services as processes: started when asked, shared, stopped, and brought back."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.local.http import BadResponse, TimedOut
from scripts.local.manifests.model import Probe, Scaling
from scripts.local.serving import NoReplica, NoSuchService, Outer
from tests.scripts.local.http.wire import connected, serving
from tests.scripts.local.serving.world import MB, service, world

pytestmark = pytest.mark.slow

SOON = Scaling(window_s=0.2)


async def test_a_service_starts_at_its_first_request(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        assert here.status()["state"] == "zero"
        assert here.pids() == []
        pid = int(await here.get("/pid"))
        assert here.pids() == [pid]
        assert here.status()["state"] == "ready"


async def test_requests_wait_while_it_starts(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"HOLD_START": "1"})) as here:
        asking = [asyncio.ensure_future(here.get("/pid")) for _ in range(20)]
        await here.until(lambda: here.status()["waiting"] == 20)
        assert here.status()["state"] == "starting"
        here.sign("start")
        assert len(set(await asyncio.gather(*asking))) == 1


async def test_a_request_waits_for_readiness_and_not_for_the_port(tmp_path: Path) -> None:
    async with world(tmp_path, service(readiness=Probe("/ready"))) as here:
        asking = asyncio.ensure_future(here.get("/pid"))
        log = tmp_path / "logs" / "app.log"
        await here.until(lambda: log.exists() and "listening" in log.read_text())
        assert here.status()["state"] == "starting"
        here.sign("ready")
        assert await asking


async def test_it_goes_to_zero_when_nobody_asks_and_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path, service(scaling=SOON)) as here:
        first = await here.get("/pid")
        await here.until(lambda: not here.pids())
        assert here.has("asked-to-stop")
        assert here.status()["state"] == "zero"
        assert await here.get("/pid") != first


async def test_a_min_scale_is_there_before_anyone_asks_and_stays(tmp_path: Path) -> None:
    scaling = Scaling(window_s=0.1, min_scale=2)
    async with world(tmp_path, service(scaling=scaling)) as here:
        await here.until(lambda: [each["state"] for each in here.status()["replicas"]] == ["ready"] * 2)
        await here.get("/pid")
        await asyncio.sleep(2.5)  # more than one look of the autoscaler
        assert len(here.pids()) == 2


async def test_a_burst_gets_a_replica_a_request_where_each_takes_one(tmp_path: Path) -> None:
    one_each = service(container_concurrency=1, scaling=Scaling(target=1.0, utilisation=1.0, max_scale=3))
    async with world(tmp_path, one_each) as here:
        asking = [asyncio.ensure_future(here.get("/slow")) for _ in range(5)]
        await here.until(lambda: here.has("in-*") == 3)
        assert here.status()["waiting"] == 2
        assert len(here.pids()) == 3
        here.sign("go")
        pids = await asyncio.gather(*asking)
        assert len(set(pids)) == 3


async def test_no_replica_is_ever_given_more_than_it_takes(tmp_path: Path) -> None:
    two = service(container_concurrency=2, scaling=Scaling(target=2.0, max_scale=1))
    async with world(tmp_path, two) as here:
        asking = [asyncio.ensure_future(here.get("/slow")) for _ in range(6)]
        await here.until(lambda: here.has("in-*") == 2)
        assert [each["in_flight"] for each in here.status()["replicas"]] == [2]
        assert here.status()["waiting"] == 4
        here.sign("go")
        await asyncio.gather(*asking)
        assert here.has("in-*") == 6


async def test_a_replica_with_a_request_is_not_stopped(tmp_path: Path) -> None:
    async with world(tmp_path, service(scaling=Scaling(window_s=0.1))) as here:
        asking = asyncio.ensure_future(here.get("/slow"))
        await here.until(lambda: here.has("in-*"))
        await asyncio.sleep(2.5)  # more than one look of the autoscaler
        assert not here.has("asked-to-stop")
        here.sign("go")
        assert int(await asking) in here.pids()


async def test_a_killed_process_is_there_again_for_the_next_request(tmp_path: Path) -> None:
    """Promise 56."""
    async with world(tmp_path, service()) as here:
        first = int(await here.get("/pid"))
        os.killpg(first, signal.SIGKILL)
        await here.until(lambda: not Path(f"/proc/{first}").exists())  # its socket may accept until then
        assert int(await here.get("/pid")) != first
        await here.until(lambda: here.status()["restarts"] == 1)


async def test_an_answer_that_its_process_did_not_finish_is_an_error(tmp_path: Path) -> None:
    """Promise 52."""
    async with world(tmp_path, service()) as here:
        response = await here.ask("/die")
        with pytest.raises(BadResponse):
            await response.read(MB)
        assert await here.get("/pid")


async def test_a_process_that_cannot_start_answers_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        here.sign("broken")
        with pytest.raises(NoReplica, match=r"app can't be started: .* status 7; its log is .*app\.log"):
            await here.get("/pid")
        assert here.status()["state"] == "failing"
        assert "it is broken" in (tmp_path / "logs" / "app.log").read_text()
        with pytest.raises(NoReplica):  # at once, until the next try is due
            await asyncio.wait_for(here.get("/pid"), 0.2)


async def test_a_process_that_is_mended_serves_again(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        here.sign("broken")
        asking = asyncio.ensure_future(here.get("/pid"))
        await here.until(lambda: here.status()["reason"])
        (tmp_path / "signs" / "broken").unlink()
        assert await asking
        assert here.status()["reason"] is None


async def test_a_command_that_is_not_there_is_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path, replace(service(), command=("no-such-program",))) as here:
        with pytest.raises(NoReplica, match="no-such-program is not installed"):
            await here.get("/pid")


async def test_a_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    late = service(readiness=Probe("/ready"), progress_deadline_s=0.5)
    async with world(tmp_path, late) as here:
        with pytest.raises(NoReplica, match=r"not ready within 0.5 s \(progress-deadline\)"):
            await here.get("/pid")


async def test_waiting_counts_against_the_time_of_a_request(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"HOLD_START": "1"}, timeout_s=0.3)) as here:
        with pytest.raises(TimedOut, match=r"no replica of app was free within 0.3 s"):
            await here.get("/pid")
        assert here.status()["waiting"] == 0


async def test_the_time_of_a_service_cuts_what_is_being_answered(tmp_path: Path) -> None:
    async with world(tmp_path, service(timeout_s=0.5)) as here:
        await here.get("/pid")
        response = await here.ask("/endless")
        with pytest.raises(TimedOut):
            await response.read(MB)
        await here.until(lambda: here.has("left"))
        assert [each["in_flight"] for each in here.status()["replicas"]] == [0]


async def test_an_answer_has_to_begin_in_time(tmp_path: Path) -> None:
    async with world(tmp_path, service(response_start_timeout_s=0.3)) as here:
        with pytest.raises(TimedOut, match="responseStartTimeoutSeconds"):
            await here.get("/slow")


async def test_a_caller_that_leaves_frees_the_replica(tmp_path: Path) -> None:
    """Promise 35."""
    async with world(tmp_path, service()) as here:
        await here.get("/pid")
        response = await here.ask("/endless")
        response.close()
        await here.until(lambda: here.has("left"))
        assert [each["in_flight"] for each in here.status()["replicas"]] == [0]


async def test_a_caller_that_leaves_while_it_waits_leaves_no_trace(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"HOLD_START": "1"})) as here:
        asking = asyncio.ensure_future(here.get("/pid"))
        await here.until(lambda: here.status()["waiting"])
        asking.cancel()
        await here.until(lambda: not here.status()["waiting"])
        here.sign("start")
        assert await here.get("/pid")
        assert [each["in_flight"] for each in here.status()["replicas"]] == [0]


async def test_a_process_that_is_sick_is_replaced(tmp_path: Path) -> None:
    sick = service(liveness=Probe("/alive", period_s=0.05, failure_threshold=2))
    async with world(tmp_path, sick) as here:
        first = await here.get("/pid")
        here.sign("sick")
        await here.until(lambda: here.status()["restarts"])
        (tmp_path / "signs" / "sick").unlink()
        assert await here.get("/pid") != first


async def test_a_process_that_is_not_ready_any_more_gets_nothing_new(tmp_path: Path) -> None:
    wavering = service(readiness=Probe("/ready", period_s=0.05, failure_threshold=2))
    async with world(tmp_path, wavering) as here:
        here.sign("ready")
        first = await here.get("/pid")
        (tmp_path / "signs" / "ready").unlink()
        await here.until(lambda: here.status()["state"] == "unready")
        asking = asyncio.ensure_future(here.get("/pid"))
        await here.until(lambda: here.status()["waiting"])
        here.sign("ready")
        assert await asking == first


async def test_a_stop_ends_even_what_does_not_listen(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"STUBBORN": "1"})) as here:
        pid = int(await here.get("/pid"))
        await asyncio.wait_for(here.activator.stop(0.1), 2)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_stop_lets_an_answer_finish(tmp_path: Path) -> None:
    """Promise 57."""
    async with world(tmp_path, service()) as here:
        asking = asyncio.ensure_future(here.get("/slow"))
        await here.until(lambda: here.has("in-*"))
        stopping = asyncio.ensure_future(here.activator.stop(5))
        await here.until(lambda: here.has("asked-to-stop"))
        here.sign("go")
        assert await asking
        await stopping
        with pytest.raises(NoReplica, match="stopping"):
            await here.get("/pid")


async def test_a_child_has_the_environment_of_a_container(tmp_path: Path) -> None:
    os.environ["A_SECRET_OF_THE_USER"] = "1"
    try:
        async with world(tmp_path, service(env={"MINE": "$(K_SERVICE)-$(NONE)-$$(K_SERVICE)"})) as here:
            environment = await here.json("/env")
    finally:
        del os.environ["A_SECRET_OF_THE_USER"]
    assert "A_SECRET_OF_THE_USER" not in environment
    assert environment["MINE"] == "app-$(NONE)-$(K_SERVICE)"
    assert environment["HADAL_DATA"] == str(tmp_path)
    assert (environment["K_SERVICE"], environment["K_REVISION"]) == ("app", "app-00001")
    assert environment["K_SINK"] == "http://sink"
    assert environment["http_proxy"] == "http://127.0.0.1:1"
    assert int(environment["PORT"]) > 0


async def test_a_name_that_nothing_serves_is_said_so(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        with pytest.raises(NoSuchService, match="there is no Service other; there are app"):
            await here.get("/pid", "other")


async def test_an_answer_that_pauses_for_too_long_is_cut(tmp_path: Path) -> None:
    async with world(tmp_path, service(idle_timeout_s=0.3)) as here:
        await here.get("/pid")
        outer = Outer([service()], here.activator)
        async with serving(outer) as server, connected(server.port) as wire:
            await wire.send(b"GET /stream HTTP/1.1\r\nHost: app.hadal.localhost\r\n\r\n")
            answer = await wire.rest()
        assert b"one" in answer
        assert not answer.endswith(b"0\r\n\r\n")
        here.sign("go")
