"""A function's own tokens: OAuth 2.0 client credentials (RFC 6749, 4.4) at `auth`, one a tenant."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta
from urllib.parse import urlencode

from functions._runtime.errors import BadGateway, Problem, Unavailable
from functions._runtime.outbound import HttpClient
from functions._runtime.ports import Clock

RENEWED_BEFORE_S = 30
TENANTS_KEPT = 1_024
_TIMEOUT_S = 5.0


class ServiceIdentity:
    """Fetches tokens and keeps each until shortly before it expires; callers at once share one fetch."""

    def __init__(
        self, http: HttpClient, auth_url: str, client_id: str, client_secret: str, clock: Clock
    ) -> None:
        self._http = http
        self._url = f"{auth_url}/token"
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._tokens: OrderedDict[str, tuple[str, datetime]] = OrderedDict()
        self._fetching = asyncio.Lock()

    async def token(self, tenant: str) -> str:
        """An access token for this function in `tenant`.

        Raises:
            Unavailable: `auth` is away, or doesn't know this function (an operator's mistake, cured
            elsewhere).
        """
        kept = self._kept(tenant)
        if kept is None:
            async with self._fetching:
                kept = self._kept(tenant) or await self._fetched(tenant)
        return kept

    def _kept(self, tenant: str) -> str | None:
        token, good_until = self._tokens.get(tenant, ("", None))
        return token if good_until is not None and self._clock.now() < good_until else None

    async def _fetched(self, tenant: str) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "tenant": tenant,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            answer = await self._http.request(
                "POST", self._url, headers=headers, body=urlencode(form).encode(), timeout_s=_TIMEOUT_S
            )
            token, expires_in_s = _granted(answer.status, answer.json())
        except Problem:
            raise Unavailable("auth gives no token to this function now.", retry_after_s=1) from None
        self._tokens[tenant] = token, self._clock.now() + timedelta(seconds=expires_in_s - RENEWED_BEFORE_S)
        self._tokens.move_to_end(tenant)
        if len(self._tokens) > TENANTS_KEPT:
            self._tokens.popitem(last=False)
        return token


def _granted(status: int, document: object) -> tuple[str, int]:
    if status != 200 or not isinstance(document, dict):
        raise BadGateway(f"auth answered {status}.")
    token, expires_in_s = document.get("access_token"), document.get("expires_in")
    if not isinstance(token, str) or not isinstance(expires_in_s, int):
        raise BadGateway("auth answered with no token.")
    return token, expires_in_s
