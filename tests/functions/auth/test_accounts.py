from __future__ import annotations

import asyncio

import pytest

from functions._runtime.errors import Conflict, Forbidden, Unauthorized
from functions._runtime.http import Request
from functions.auth.model import BootstrapToken
from tests.functions.auth.world import BOOTSTRAP_TOKEN, World, document


async def test_bootstrap_makes_an_admin_with_a_key_that_works() -> None:
    world = World()
    answer = await world.call("POST", "/bootstrap", bearer=BOOTSTRAP_TOKEN)
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    assert set(document(answer)) == {"api_key", "account"}
    claims = await world.claims(await world.exchange(document(answer)["api_key"]))
    assert (claims["sub"], claims["roles"]) == (document(answer)["account"], ["admin"])


async def test_bootstrap_works_once() -> None:
    world = World()
    await world.bootstrap()
    with pytest.raises(Conflict):
        await world.bootstrap()


async def test_of_bootstraps_at_once_one_wins() -> None:
    world = World()
    replicas = [World(store=world.store, clock=world.clock) for _ in range(10)]
    answers = await asyncio.gather(*(each.bootstrap() for each in replicas), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 9
    assert len(await world.keys.find("tenant", "default", limit=10)) == 1


@pytest.mark.parametrize("bearer", [None, "", "wrong", BOOTSTRAP_TOKEN + "x", BOOTSTRAP_TOKEN[:-1]])
async def test_bootstrap_needs_the_deployment_s_token(bearer: str | None) -> None:
    world = World()
    with pytest.raises(Unauthorized):
        await world.call("POST", "/bootstrap", bearer=bearer)
    assert await world.accounts.get("acct_first") is None


def test_a_deployment_without_a_bootstrap_token_takes_none() -> None:
    for authorization in ("Bearer ", "Bearer None", ""):
        request = Request("POST", "/bootstrap", headers={"authorization": authorization})
        assert not BootstrapToken(None).is_in(request)


async def test_an_admin_makes_accounts_in_their_own_tenant_only() -> None:
    """Promise 21: a tenant in the body changes nothing."""
    world = World()
    await world.bootstrap()
    body = {"name": "Bob", "tenant": "elsewhere", "id": "acct_first"}
    account = document(await world.call("POST", "/v1/accounts", body, bearer="admin"))
    stored = await world.accounts.get(account["id"])
    assert stored is not None
    assert (stored.body["tenant"], account["role"], account["name"]) == ("default", "member", "Bob")
    listed = document(await world.call("GET", "/v1/accounts", bearer="admin"))
    assert [each["name"] for each in listed["data"]] == ["Bob", "admin"]


async def test_accounts_are_not_a_member_s_to_make_or_see() -> None:
    world = World()
    await world.bootstrap()
    await world.member("bob")
    for method in ("POST", "GET"):
        with pytest.raises(Forbidden):
            await world.call(method, "/v1/accounts", {"name": "x"}, bearer="bob")
