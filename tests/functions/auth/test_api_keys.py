from __future__ import annotations

from typing import Any

import orjson
import pytest

from functions._runtime.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from functions.auth.model import Account
from tests.functions.auth.world import BOOTSTRAP_TOKEN, World, document


async def made(world: World, bearer: str, **fields: Any) -> dict[str, Any]:
    return document(await world.call("POST", "/v1/api_keys", {"name": "a key", **fields}, bearer=bearer))


async def listed(world: World, bearer: str, **query: str) -> dict[str, Any]:
    return document(await world.call("GET", "/v1/api_keys", bearer=bearer, query=query))


async def test_a_key_is_shown_once_and_stored_as_a_hash_only() -> None:
    """Promise 19: API keys are stored hashed."""
    world = World()
    await world.bootstrap()
    key = await made(world, "admin")
    secret = key["api_key"].split("_")[2]
    stored = await world.keys.get(key["id"])
    assert stored is not None
    assert secret not in orjson.dumps(stored.body).decode()
    assert secret not in orjson.dumps(await listed(world, "admin")).decode()
    assert "secret_sha256" not in orjson.dumps(await listed(world, "admin")).decode()


async def test_the_answer_with_a_key_is_kept_by_no_cache() -> None:
    world = World()
    await world.bootstrap()
    answer = await world.call("POST", "/v1/api_keys", {"name": "a key"}, bearer="admin")
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")


async def test_a_revoked_key_gives_no_token() -> None:
    """Promise 11: at `auth` a revoked key stops at once."""
    world = World()
    await world.bootstrap()
    key = await made(world, "admin")
    assert (await world.exchange(key["api_key"])).status == 200
    answer = await world.call("DELETE", f"/v1/api_keys/{key['id']}", bearer="admin")
    assert document(answer) == {"id": key["id"], "object": "api_key.deleted", "deleted": True}
    assert (await world.exchange(key["api_key"])).status == 400
    with pytest.raises(NotFound):
        await world.call("DELETE", f"/v1/api_keys/{key['id']}", bearer="admin")


async def test_a_member_makes_lists_and_revokes_keys_of_their_own() -> None:
    world = World()
    await world.bootstrap()
    bob = await world.member("bob")
    key = await made(world, "bob")
    assert (key["account"], key["role"]) == (bob, "member")
    assert [each["id"] for each in (await listed(world, "bob"))["data"]] == [key["id"]]
    assert (await world.claims(await world.exchange(key["api_key"])))["sub"] == bob
    assert (await world.call("DELETE", f"/v1/api_keys/{key['id']}", bearer="bob")).status == 200


async def test_another_member_s_key_is_answered_as_an_absent_one() -> None:
    """Promise 20: the two can't be told apart."""
    world = World()
    await world.bootstrap()
    await world.member("bob")
    await world.member("eve")
    key = await made(world, "bob")
    answers = []
    for key_id in (key["id"], "key_" + "0" * 32, "$where", '{"$gt": ""}'):
        with pytest.raises(NotFound) as refused:
            await world.call("DELETE", f"/v1/api_keys/{key_id}", bearer="eve")
        answers.append((refused.value.message, refused.value.code))
    assert len(set(answers)) == 1
    assert (await world.exchange(key["api_key"])).status == 200


async def test_another_tenant_s_admin_sees_and_revokes_nothing_here() -> None:
    """Promise 20: tenants are apart."""
    world = World()
    await world.bootstrap()
    key = await made(world, "admin")
    world.signs_in("stranger", "acct_stranger", "elsewhere", "admin")
    assert (await listed(world, "stranger"))["data"] == []
    with pytest.raises(NotFound):
        await world.call("DELETE", f"/v1/api_keys/{key['id']}", bearer="stranger")
    with pytest.raises(Forbidden):
        await made(world, "stranger")


async def test_another_tenant_s_admin_makes_no_key_for_an_account_here() -> None:
    """Promise 20."""
    world = World()
    await world.bootstrap()
    stranger = Account("acct_stranger", "elsewhere", "a stranger", "admin", world.clock.now_s)
    await world.accounts.put(stranger.id, stranger.body(), if_version=0)
    world.signs_in("stranger", stranger.id, "elsewhere", "admin")
    for account in ("acct_first", "acct_absent"):
        with pytest.raises(NotFound):
            await made(world, "stranger", account=account)


async def test_role_tenant_and_account_in_a_body_give_a_member_nothing() -> None:
    """Promise 21."""
    world = World()
    await world.bootstrap()
    bob = await world.member("bob")
    with pytest.raises(Forbidden):
        await made(world, "bob", role="admin")
    with pytest.raises(NotFound):
        await made(world, "bob", account="acct_first")
    key = await made(world, "bob", tenant="elsewhere", owner="acct_first", sub="acct_first", roles=["admin"])
    claims = await world.claims(await world.exchange(key["api_key"]))
    assert (claims["sub"], claims["tenant"], claims["roles"]) == (bob, "default", ["member"])


async def test_an_admin_makes_a_key_for_a_member_with_no_more_than_the_member_s_role() -> None:
    world = World()
    await world.bootstrap()
    bob = await world.member("bob")
    key = await made(world, "admin", account=bob)
    assert (await world.claims(await world.exchange(key["api_key"])))["sub"] == bob
    with pytest.raises(Forbidden):
        await made(world, "admin", account=bob, role="admin")


async def test_an_admin_s_key_made_without_a_role_is_a_member_s() -> None:
    world = World()
    await world.bootstrap()
    key = await made(world, "admin")
    assert (await world.claims(await world.exchange(key["api_key"])))["roles"] == ["member"]


async def test_a_service_s_token_makes_no_key() -> None:
    world = World()
    await world.bootstrap()
    world.signs_in("service", "summarize", "default", "service")
    with pytest.raises(Forbidden):
        await made(world, "service")


async def test_the_bootstrap_token_makes_another_admin_key_for_a_lost_one() -> None:
    world = World()
    with pytest.raises(Conflict):
        await made(world, BOOTSTRAP_TOKEN, role="admin")
    await world.bootstrap()
    key = await made(world, BOOTSTRAP_TOKEN, role="admin")
    assert (await world.claims(await world.exchange(key["api_key"])))["roles"] == ["admin"]


async def test_keys_are_listed_in_pages_without_loss_or_repetition() -> None:
    world = World()
    await world.bootstrap()
    await world.member("bob")
    ids = [(await made(world, "bob"))["id"] for _ in range(5)]
    seen: list[str] = []
    page = await listed(world, "bob", limit="2")
    while True:
        seen += [key["id"] for key in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], seen[-1])
        if not page["has_more"]:
            break
        page = await listed(world, "bob", limit="2", after=page["last_id"])
    assert seen == sorted(ids)


async def test_an_admin_lists_the_keys_of_the_whole_tenant() -> None:
    world = World()
    await world.bootstrap()
    await world.member("bob")
    key = await made(world, "bob")
    assert key["id"] in [each["id"] for each in (await listed(world, "admin"))["data"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": {"$gt": ""}}, "name"),
        ({"name": None}, "name"),
        ({"role": "root"}, "role"),
        ({"role": {"$gt": ""}}, "role"),
        ({"role": ["admin"]}, "role"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": True}, "expires_in_s"),
        ({"expires_in_s": 1.5}, "expires_in_s"),
        ({"expires_in_s": 10**12}, "expires_in_s"),
        ({"account": {"$gt": ""}}, "account"),
        ({"account": "$where"}, "account"),
    ],
)
async def test_a_bad_field_is_named(fields: dict[str, Any], param: str) -> None:
    """Promise 23: an operator of a query language is a bad value like any other."""
    world = World()
    await world.bootstrap()
    with pytest.raises(BadRequest) as refused:
        await made(world, "admin", **fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": "²"}, {"after": '{"$gt":""}'}]
)
async def test_a_bad_page_is_refused(query: dict[str, str]) -> None:
    world = World()
    await world.bootstrap()
    with pytest.raises(BadRequest):
        await listed(world, "admin", **query)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/api_keys"), ("GET", "/v1/api_keys"), ("DELETE", "/v1/api_keys/key_0")]
)
async def test_without_a_credential_nothing_is_told(method: str, path: str) -> None:
    with pytest.raises(Unauthorized):
        await World().call(method, path, {"name": "x"})
