from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from functions._runtime.errors import Unavailable
from functions._runtime.outbound import Answer, HttpClient
from functions._runtime.service_identity import ServiceIdentity


class SetClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Auth(HttpClient):
    """Grants tokens, numbered; or answers as told."""

    def __init__(self) -> None:
        super().__init__({}, AsyncExitStack())
        self.asked: list[dict[str, list[str]]] = []
        self.answer: Answer | None = None

    async def request(self, method: str, url: str, **kwargs: Any) -> Answer:
        assert (method, url) == ("POST", "http://auth/token")
        self.asked.append(parse_qs(kwargs["body"].decode()))
        await asyncio.sleep(0)
        granted = {"access_token": f"t{len(self.asked)}", "token_type": "Bearer", "expires_in": 300}
        return self.answer or Answer(200, {}, orjson.dumps(granted))


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def identity(auth: Auth, clock: SetClock) -> ServiceIdentity:
    return ServiceIdentity(auth, "http://auth", "summarize", "s&=cret", clock)


async def test_a_token_is_asked_for_by_client_credentials(identity: ServiceIdentity, auth: Auth) -> None:
    assert await identity.token("acme") == "t1"
    assert auth.asked == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["summarize"],
            "client_secret": ["s&=cret"],
            "tenant": ["acme"],
        }
    ]


async def test_callers_at_once_share_one_token(identity: ServiceIdentity, auth: Auth) -> None:
    tokens = await asyncio.gather(*(identity.token("acme") for _ in range(50)))
    assert (set(tokens), len(auth.asked)) == ({"t1"}, 1)


async def test_each_tenant_has_its_own(identity: ServiceIdentity) -> None:
    """Promise 26."""
    assert await identity.token("acme") != await identity.token("other")


async def test_a_token_is_renewed_before_it_expires(identity: ServiceIdentity, clock: SetClock) -> None:
    await identity.token("acme")
    clock.time += timedelta(seconds=269)
    assert await identity.token("acme") == "t1"
    clock.time += timedelta(seconds=1)
    assert await identity.token("acme") == "t2"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, {}, b'{"error":"invalid_client"}'),
        Answer(500, {}, b""),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[]"),
        Answer(200, {}, b'{"access_token": 1, "expires_in": 300}'),
        Answer(200, {}, b'{"access_token": "t", "expires_in": "soon"}'),
    ],
)
async def test_an_answer_without_a_token_is_unavailable_and_names_no_secret(
    identity: ServiceIdentity, auth: Auth, answer: Answer
) -> None:
    auth.answer = answer
    with pytest.raises(Unavailable) as raised:
        await identity.token("acme")
    assert "cret" not in raised.value.message
    auth.answer = None
    assert (await identity.token("acme")).startswith("t")
