from __future__ import annotations

import pytest

from functions._runtime.errors import BadGateway, Problem, Unavailable
from functions.gateway.waking import WakeAuth
from tests.functions.gateway.world import Scripted, World

ALIVE = Scripted.json({"status": "alive"})


async def test_auth_is_asked_whether_it_is_alive_without_any_credential() -> None:
    world = World()
    world.servers.answers["GET http://auth/healthz"] = ALIVE
    await WakeAuth(world.auth)()
    (asked,) = world.servers.to("auth")
    assert "authorization" not in asked.headers
    assert asked.body is None


@pytest.mark.parametrize("fault", [Unavailable("Away."), BadGateway("Broken.")])
async def test_an_auth_that_cannot_be_woken_stops_nothing(fault: Problem) -> None:
    world = World()
    world.servers.answers["GET http://auth/healthz"] = Scripted(body=[fault])
    await WakeAuth(world.auth)()
    assert (await world.complete()).status == 200
