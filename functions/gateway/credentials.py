"""From any credential of a caller to a token for inside.

A JWT is verified and passed on. An API key is exchanged at `auth`, and the token kept: 30 seconds are the
bound within which a revoked key stops working, and a key in steady use costs one exchange in that time.
Keys themselves aren't kept, only their SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

import orjson

from functions._runtime.errors import BadGateway, Unauthorized, Unavailable
from functions._runtime.ports import Clock, Identity
from functions.gateway.recent import Recent
from functions.gateway.single_flight import SingleFlight
from functions.gateway.upstream import RETRY_AFTER_S, Upstream

KEPT_S = 30.0
REFUSED_KEPT_S = 5.0
MOST_KEPT = 10_000

_KEY = re.compile(r"hdl_[0-9a-f]{32}_[0-9A-Za-z]{43}", re.ASCII)
_LONGEST_ANSWER_BYTES = 64 * 1024
_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:hadal:params:oauth:token-type:api-key",
}


class KeyExchange(Protocol):
    """Gives tokens for API keys."""

    async def __call__(self, api_key: str) -> tuple[str, float]:
        """A token for `api_key`, and the seconds that it is good for.

        Raises:
            Unauthorized: the key isn't good.
            Unavailable: that can't be known now.
        """
        ...


@dataclass(slots=True)
class Credentials:
    """Knows callers by their `Authorization` header."""

    identity: Identity
    exchange: KeyExchange
    clock: Clock
    _tokens: Recent[str] = field(default_factory=lambda: Recent(MOST_KEPT), init=False)
    # Apart from the tokens, so that a flood of guesses pushes no good key out.
    _refused: Recent[bool] = field(default_factory=lambda: Recent(MOST_KEPT), init=False)
    _exchanges: SingleFlight[str] = field(default_factory=SingleFlight, init=False)

    async def token(self, authorization: str | None) -> str:
        """The caller's token for inside.

        Raises:
            Unauthorized: no credential, or one that isn't good.
            Unavailable: that can't be known now.
        """
        if not authorization:
            message = "No API key was given; send it as Authorization: Bearer <API key>."
            raise Unauthorized(message, code="missing_credential")
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise Unauthorized("The Authorization header has to be of the form Bearer <API key>.")
        if credential.startswith("hdl_"):
            return await self._exchanged(credential)
        return (await self.identity.authenticate(authorization)).token

    async def _exchanged(self, api_key: str) -> str:
        digest, now_s = hashlib.sha256(api_key.encode()).digest(), self.clock.now().timestamp()
        token = self._tokens.get(digest, now_s)
        if token is not None:
            return token
        if not _KEY.fullmatch(api_key) or self._refused.get(digest, now_s):
            raise _not_good()
        return await self._exchanges.do(digest, lambda: self._exchange(digest, api_key, now_s))

    async def _exchange(self, digest: bytes, api_key: str, asked_s: float) -> str:
        try:
            token, good_s = await self.exchange(api_key)
        except Unauthorized:
            self._refused.put(digest, True, asked_s, REFUSED_KEPT_S)
            raise
        self._tokens.put(digest, token, asked_s, min(KEPT_S, good_s))
        return token


@dataclass(frozen=True, slots=True)
class ExchangeAtAuth:
    """`KeyExchange` by `auth`'s token endpoint (RFC 8693)."""

    auth: Upstream

    async def __call__(self, api_key: str) -> tuple[str, float]:
        """See the port."""
        form = urlencode({**_EXCHANGE, "subject_token": api_key}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        try:
            async with self.auth.ask("POST", "/token", headers, form) as answer:
                status, body = answer.status, await answer.read(_LONGEST_ANSWER_BYTES)
            document = orjson.loads(body)
            if status == 200:
                return str(document["access_token"]), float(document["expires_in"])
            if status == 400 and document["error"] == "invalid_request":
                raise _not_good()  # RFC 8693, 2.2.2: what is said of a subject token that isn't good
        except (BadGateway, Unavailable, ValueError, KeyError, TypeError):
            pass
        raise Unavailable("API keys can't be checked now; try again.", retry_after_s=RETRY_AFTER_S)


def _not_good() -> Unauthorized:
    return Unauthorized("Incorrect API key provided.")
