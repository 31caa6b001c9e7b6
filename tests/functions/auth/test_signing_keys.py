from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from functions._runtime.errors import Forbidden, Unauthorized, Unavailable
from functions.auth.signing_keys import (
    ANNOUNCED_AHEAD_S,
    RETENTION_S,
    RING_CACHE_S,
    ROTATION_AGE_S,
    TOKEN_LIFETIME_S,
    Seal,
    SigningKeys,
)
from tests.functions.auth.world import World, document


def header_of(token: str) -> dict[str, Any]:
    return dict(jws.extract_compact(token.encode()).headers())


async def published(world: World) -> list[str]:
    return [key["kid"] for key in await world.signing_keys.published()]


async def test_a_token_has_the_type_of_access_tokens_and_names_a_published_key() -> None:
    world = World()
    header = header_of(await world.signing_keys.sign({"sub": "someone"}))
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert await published(world) == [header["kid"]]


async def test_what_is_published_has_no_private_part() -> None:
    world = World()
    answer = await world.call("GET", "/.well-known/jwks.json")
    (key,) = document(answer)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["use"], key["alg"], key["crv"]) == ("sig", "ES256", "P-256")


async def test_the_private_key_stands_encrypted_in_the_store() -> None:
    """Promise 62: the store alone gives nobody a key."""
    world = World()
    await world.signing_keys.sign({})
    stored = await world.ring.get("ring")
    assert stored is not None
    assert '"d"' not in orjson.dumps(stored.body).decode()
    private = Seal("seal-" + "s" * 32).open(stored.body["keys"][0]["sealed"])
    assert private.as_dict(private=False)["x"] == stored.body["keys"][0]["public"]["x"]


async def test_replicas_that_start_at_once_agree_on_one_first_key() -> None:
    first = World()
    replicas = [first, *(World(store=first.store, clock=first.clock) for _ in range(9))]
    tokens = await asyncio.gather(*(replica.signing_keys.sign({}) for replica in replicas))
    assert {header_of(token)["kid"] for token in tokens} == set(await published(first))


async def test_a_called_rotation_signs_at_once_and_keeps_the_old_key_published() -> None:
    world = World()
    await world.bootstrap()
    old = header_of(await world.signing_keys.sign({}))["kid"]
    new = document(await world.call("POST", "/v1/signing_keys/rotate", bearer="admin"))["kid"]
    assert new != old
    assert header_of(await world.signing_keys.sign({}))["kid"] == new
    assert await published(world) == [old, new]


async def test_another_replica_signs_with_the_new_key_after_a_few_seconds() -> None:
    world = World()
    other = World(store=world.store, clock=world.clock)
    await other.signing_keys.sign({})
    new = await world.signing_keys.rotate()
    world.clock.pass_s(RING_CACHE_S)
    assert header_of(await other.signing_keys.sign({}))["kid"] == new


async def test_an_old_key_is_published_until_its_last_token_has_expired() -> None:
    """Promise 10: a key that was rotated out stops."""
    world = World()
    await world.signing_keys.sign({})
    old, new = *(await published(world)), await world.signing_keys.rotate()
    world.clock.pass_s(RING_CACHE_S + TOKEN_LIFETIME_S)
    assert await published(world) == [old, new]
    world.clock.pass_s(RETENTION_S - RING_CACHE_S - TOKEN_LIFETIME_S)
    assert await published(world) == [new]


async def test_a_key_that_nobody_verifies_with_any_longer_is_forgotten_at_the_next_rotation() -> None:
    world = World()
    await world.signing_keys.rotate()
    world.clock.pass_s(RETENTION_S)
    second = await world.signing_keys.rotate()
    world.clock.pass_s(RETENTION_S)
    third = await world.signing_keys.rotate()
    stored = await world.ring.get("ring")
    assert stored is not None
    assert [key["kid"] for key in stored.body["keys"]] == [second, third]


async def test_an_aged_key_is_replaced_and_its_successor_published_before_it_signs() -> None:
    world = World()
    old = header_of(await world.signing_keys.sign({}))["kid"]
    world.clock.pass_s(ROTATION_AGE_S)
    assert header_of(await world.signing_keys.sign({}))["kid"] == old
    _, new = await published(world)
    world.clock.pass_s(ANNOUNCED_AHEAD_S)
    assert header_of(await world.signing_keys.sign({}))["kid"] == new


async def test_replicas_that_meet_an_aged_key_at_once_make_one_successor() -> None:
    first = World()
    await first.signing_keys.sign({})
    first.clock.pass_s(ROTATION_AGE_S)
    replicas = [World(store=first.store, clock=first.clock) for _ in range(5)]
    await asyncio.gather(*(replica.signing_keys.sign({}) for replica in replicas))
    assert len(await published(first)) == 2


async def test_a_rotation_called_while_a_successor_is_announced_wins_over_it() -> None:
    world = World()
    await world.signing_keys.sign({})
    world.clock.pass_s(ROTATION_AGE_S)
    await world.signing_keys.sign({})
    called = await world.signing_keys.rotate()
    world.clock.pass_s(ANNOUNCED_AHEAD_S)
    assert header_of(await world.signing_keys.sign({}))["kid"] == called


async def test_rotations_at_once_all_count() -> None:
    world = World()
    replicas = [World(store=world.store, clock=world.clock) for _ in range(5)]
    kids = await asyncio.gather(*(replica.signing_keys.rotate() for replica in replicas))
    assert set(kids) < set(await published(world))


async def test_only_an_admin_rotates() -> None:
    world = World()
    await world.bootstrap()
    await world.member("bob")
    with pytest.raises(Forbidden):
        await world.call("POST", "/v1/signing_keys/rotate", bearer="bob")
    with pytest.raises(Unauthorized):
        await world.call("POST", "/v1/signing_keys/rotate")


async def test_with_another_encryption_key_it_says_so_and_signs_nothing() -> None:
    world = World()
    await world.signing_keys.sign({})
    other = SigningKeys(world.ring, Seal("another-" + "x" * 32), world.clock)
    with pytest.raises(Unavailable, match="HADAL_KEY_ENCRYPTION_KEY"):
        await other.sign({})


def test_a_sealed_key_opens_with_its_secret_only() -> None:
    pair = ECKey.generate_key("P-256")
    sealed = Seal("s" * 32).close(pair.as_dict(private=True))
    assert Seal("s" * 32).open(sealed).as_dict(private=True)["d"] == pair.as_dict(private=True)["d"]
    with pytest.raises(Unavailable):
        Seal("t" * 32).open(sealed)
