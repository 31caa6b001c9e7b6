"""Consumes credentials, emits tokens; it is the one place that knows who may.

Every other function verifies the tokens with the keys that are published here and asks nothing further.
"""

from __future__ import annotations

from dataclasses import dataclass

from functions._runtime.errors import Forbidden
from functions._runtime.http import Request, Response, Route
from functions._runtime.ports import Identity
from functions.auth.accounts import Accounts
from functions.auth.api_keys import ApiKeys
from functions.auth.signing_keys import RING_CACHE_S, SigningKeys
from functions.auth.tokens import TokenEndpoint


@dataclass(frozen=True, slots=True)
class Auth:
    """What the function answers."""

    tokens: TokenEndpoint
    accounts: Accounts
    api_keys: ApiKeys
    signing_keys: SigningKeys
    identity: Identity

    def routes(self) -> list[Route]:
        """The whole surface."""
        return [
            Route("POST", "/token", self.tokens),
            Route("GET", "/.well-known/jwks.json", self.key_set),
            Route("POST", "/bootstrap", self.accounts.bootstrap),
            Route("POST", "/v1/accounts", self.accounts.create),
            Route("GET", "/v1/accounts", self.accounts.list),
            Route("POST", "/v1/api_keys", self.api_keys.create),
            Route("GET", "/v1/api_keys", self.api_keys.list),
            Route("DELETE", "/v1/api_keys/{id}", self.api_keys.revoke),
            Route("POST", "/v1/signing_keys/rotate", self.rotate),
        ]

    async def key_set(self, _request: Request) -> Response:
        """The public keys (RFC 7517, 5)."""
        headers = {"cache-control": f"public, max-age={RING_CACHE_S}"}
        return Response.json({"keys": await self.signing_keys.published()}, headers=headers)

    async def rotate(self, request: Request) -> Response:
        """Make a new signing key, which signs at once."""
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        if "admin" not in caller.roles:
            raise Forbidden("Rotating the signing keys is an admin's to do.")
        return Response.json({"kid": await self.signing_keys.rotate()}, 201)
