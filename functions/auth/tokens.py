"""`POST /token`: a credential for a short-lived token.

Two grants: token exchange (RFC 8693) turns an API key into the token of its account, client credentials
(RFC 6749, 4.4) give a function its own. Refusals have the form of RFC 6749, 5.2, and don't say which
part of a credential was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Documents, Ids
from functions.auth.model import Account, ApiKey, digest, lesser, parse_key_text, same_secret
from functions.auth.signing_keys import TOKEN_LIFETIME_S

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 (a name, no secret)
CLIENT_CREDENTIALS = "client_credentials"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
API_KEY = "urn:hadal:params:oauth:token-type:api-key"
NO_STORE = {"cache-control": "no-store"}

_NOBODY = digest("")
_MOST_FIELDS = 20
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


class Signer(Protocol):
    """Makes tokens of claims."""

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a signed JWT.

        Raises:
            Unavailable: there is no key to sign with now.
        """
        ...


def tenant_name(text: str) -> str:
    """`text`, if a tenant may be called so; ValueError with what would be right."""
    if not _TENANT.fullmatch(text):
        raise ValueError("should be 1 to 64 letters, digits, underscores or dashes")
    return text


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Gives tokens for credentials.

    Attributes:
        clients: the digests of the clients' secrets, by client id.
    """

    accounts: Documents
    keys: Documents
    signer: Signer
    clients: Mapping[str, str]
    issuer: str
    audience: str
    clock: Clock
    ids: Ids

    async def __call__(self, request: Request) -> Response:
        """Answer a token request (RFC 6749, 5)."""
        try:
            form = _form(request)
            grants = {TOKEN_EXCHANGE: self._exchange, CLIENT_CREDENTIALS: self._client_credentials}
            grant = grants.get(form.get("grant_type", ""))
            if grant is None:
                known = " or ".join(grants)
                raise _Refused("unsupported_grant_type", f"The parameter grant_type has to be {known}.")
            return await grant(form)
        except _Refused as refusal:
            body = {"error": refusal.error, "error_description": refusal.description}
            return Response.json(body, refusal.status, NO_STORE)

    async def _exchange(self, form: Mapping[str, str]) -> Response:
        if form.get("subject_token_type") != API_KEY:
            raise _Refused("invalid_request", f"The subject_token_type has to be {API_KEY}.")
        parts = parse_key_text(form.get("subject_token", ""))
        found = await self.keys.get(parts[0]) if parts else None
        now_s = self._now_s()
        if parts is None or found is None or not (key := ApiKey.of(found.body)).opens_with(parts[1], now_s):
            raise _Refused("invalid_request", "The subject_token isn't a good API key.")
        owner = await self.accounts.get(key.account)
        if owner is None:
            raise _Refused("invalid_request", "The subject_token isn't a good API key.")
        account = Account.of(owner.body)
        expires_at_s = min(now_s + TOKEN_LIFETIME_S, key.expires_at_s or now_s + TOKEN_LIFETIME_S)
        role = lesser(key.role, account.role)
        return await self._issue(account.id, account.tenant, role, key.id, now_s, expires_at_s)

    async def _client_credentials(self, form: Mapping[str, str]) -> Response:
        client = form.get("client_id", "")
        # An unknown client's secret is compared too, so that the time taken doesn't tell who is known.
        good = same_secret(form.get("client_secret", ""), self.clients.get(client, _NOBODY))
        if not good or client not in self.clients:
            raise _Refused("invalid_client", "The client_id and client_secret aren't those of a client.", 401)
        try:
            tenant = tenant_name(form.get("tenant", ""))
        except ValueError as error:
            raise _Refused("invalid_request", f"The parameter tenant {error}.") from None
        now_s = self._now_s()
        return await self._issue(client, tenant, "service", client, now_s, now_s + TOKEN_LIFETIME_S)

    async def _issue(
        self, subject: str, tenant: str, role: str, client: str, now_s: int, expires_at_s: int
    ) -> Response:
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "tenant": tenant,
            "roles": [role],
            "client_id": client,
            "iat": now_s,
            "exp": expires_at_s,
            "jti": self.ids.new("tok"),
        }
        body = {
            "access_token": await self.signer.sign(claims),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": expires_at_s - now_s,
        }
        return Response.json(body, 200, NO_STORE)

    def _now_s(self) -> int:
        return int(self.clock.now().timestamp())


class _Refused(Exception):
    """A token request is refused (RFC 6749, 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


def _form(request: Request) -> dict[str, str]:
    """The parameters of the body; one that stands twice is refused (RFC 6749, 3.2)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise _Refused("invalid_request", "The body has to be application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(request.body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise _Refused("invalid_request", "The body isn't a form of at most 20 fields.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused("invalid_request", "A parameter stands more than once.")
    return form
