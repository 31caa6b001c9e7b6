"""`auth` under the stock command, over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from functions._runtime.function import application
from functions._runtime.settings import InvalidSettings
from functions.auth.service import Settings, build
from functions.auth.tokens import API_KEY, TOKEN_EXCHANGE
from tests.functions.stock import running

BOOTSTRAP_TOKEN = "bootstrap-canary-" + "b" * 32
SEAL_SECRET = "seal-canary-" + "s" * 32
CLIENT_SECRET = "client-canary-" + "c" * 32

pytestmark = pytest.mark.slow


def settings(folder: Path) -> Mapping[str, str]:
    return {
        "HADAL_STORE": f"sqlite:{folder}/auth.db",
        "HADAL_BOOTSTRAP_TOKEN": BOOTSTRAP_TOKEN,
        "HADAL_KEY_ENCRYPTION_KEY": SEAL_SECRET,
        "SERVICE_CLIENTS": "summarize",
        "CLIENT_SECRET_SUMMARIZE": CLIENT_SECRET,
        "LOG_LEVEL": "debug",
    }


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def token(client: aiohttp.ClientSession, url: str, form: dict[str, str]) -> dict[str, Any]:
    async with client.post(f"{url}/token", data=form) as answer:
        return {"status": answer.status, **await answer.json()}


def exchange_of(api_key: str) -> dict[str, str]:
    return {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY, "subject_token": api_key}


async def test_keys_and_accounts_outlive_the_process_and_no_secret_is_logged_or_stored(
    tmp_path: Path,
) -> None:
    """Promises 19 and 62: of a secret nothing is left in log or store."""
    async with aiohttp.ClientSession() as client:
        async with running("auth", settings(tmp_path), tmp_path) as function:
            async with client.post(f"{function.url}/bootstrap", headers=bearer(BOOTSTRAP_TOKEN)) as answer:
                api_key = (await answer.json())["api_key"]
            first = await token(client, function.url, exchange_of(api_key))
            await token(client, function.url, exchange_of(api_key[:-1] + "!"))
            service = {"grant_type": "client_credentials", "client_id": "summarize", "tenant": "default"}
            granted = await token(client, function.url, {**service, "client_secret": CLIENT_SECRET})
            refused = await token(client, function.url, {**service, "client_secret": CLIENT_SECRET + "x"})
            log = function.log
        assert (first["status"], granted["status"], refused["status"]) == (200, 200, 401)
        async with running("auth", settings(tmp_path), tmp_path) as function:
            again = await token(client, function.url, exchange_of(api_key))
            async with client.get(
                f"{function.url}/v1/api_keys", headers=bearer(first["access_token"])
            ) as answer:
                # Signed before the restart, verified after it: the signing key has stayed the same.
                listed = await answer.json()
            log += function.log
    assert again["status"] == 200
    assert [key["name"] for key in listed["data"]] == ["bootstrap"]
    kept = log.encode() + b"".join(path.read_bytes() for path in tmp_path.glob("auth.db*"))
    secret = api_key.split("_")[2]
    for canary in (secret, BOOTSTRAP_TOKEN, SEAL_SECRET, CLIENT_SECRET, first["access_token"]):
        assert canary.encode() not in kept


async def test_two_replicas_over_one_store_bootstrap_once_and_sign_with_one_key(tmp_path: Path) -> None:
    async with (
        aiohttp.ClientSession() as client,
        running("auth", settings(tmp_path), tmp_path) as one,
        running("auth", settings(tmp_path), tmp_path) as other,
    ):

        async def bootstrap(url: str) -> int:
            async with client.post(f"{url}/bootstrap", headers=bearer(BOOTSTRAP_TOKEN)) as answer:
                return answer.status

        async def key_ids(url: str) -> list[str]:
            async with client.get(f"{url}/.well-known/jwks.json") as answer:
                return [key["kid"] for key in (await answer.json())["keys"]]

        statuses = await asyncio.gather(*(bootstrap(each.url) for each in (one, other) * 4))
        assert sorted(statuses) == [201] + 7 * [409]
        first, second = await asyncio.gather(key_ids(one.url), key_ids(other.url))
        assert first == second
        assert len(first) == 1


def test_bad_settings_are_named_together_without_their_secrets() -> None:
    environ = {
        "HADAL_KEY_ENCRYPTION_KEY": "short-canary",
        "HADAL_STORE": "postgres:",
        "SERVICE_CLIENTS": "summarize",
        "HADAL_TENANT": "a b",
    }
    with pytest.raises(InvalidSettings) as refused:
        application("auth", Settings, build, environ)
    told = str(refused.value)
    for name in ("HADAL_KEY_ENCRYPTION_KEY", "HADAL_STORE", "CLIENT_SECRET_SUMMARIZE", "HADAL_TENANT"):
        assert name in told
    assert "canary" not in told
