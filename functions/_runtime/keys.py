"""`auth`'s public keys, fetched from where it publishes them (RFC 7517) and kept."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from typing import Any

from functions._runtime.errors import BadGateway, Problem, Unavailable
from functions._runtime.outbound import HttpClient

FETCH_INTERVAL_S = 30.0
KEPT_WITHOUT_AUTH_S = 300.0
RETRY_S = 1.0
_FETCH_TIMEOUT_S = 5.0
_SET_LIMIT_BYTES = 64 * 1024


class PublishedKeys:
    """`Keys` from a JWKS address.

    The set is fetched again when it is 30 s old, so that a key taken away stops within that; and at once for
    an unknown key, because `auth` signs with a new key as soon as it is published, but not twice within 30 s,
    whatever key ids callers make up. Where `auth` is away the keys are good for five minutes, as long as a
    token lives.
    """

    def __init__(self, http: HttpClient, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url
        self._monotonic = monotonic
        self._keys: dict[str, Any] = {}
        self._documents: dict[str, Any] = {}
        self._generation = 0
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._surprised_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def key(self, key_id: str) -> Any | None:
        """The public key, or None; see the port."""
        await self._refresh()
        if key_id not in self._keys and self._monotonic() >= self._surprised_at + FETCH_INTERVAL_S:
            self._surprised_at = self._monotonic()
            await self._fetch_once()
        return self._keys.get(key_id)

    async def generation(self) -> int:
        """How often the set has changed; see the port."""
        await self._refresh()
        return self._generation

    async def _refresh(self) -> None:
        if not self._is_fresh():
            async with self._refreshing:
                if not self._is_fresh():
                    await self._fetch_once()

    async def _fetch_once(self) -> None:
        self._tried_at = self._monotonic()
        try:
            await self._take(await self._published())
        except Problem:
            if self._monotonic() >= self._fetched_at + KEPT_WITHOUT_AUTH_S:
                raise Unavailable(
                    "The keys to verify tokens with can't be had now.", retry_after_s=1
                ) from None

    def _is_fresh(self) -> bool:
        now = self._monotonic()
        if now < self._fetched_at + FETCH_INTERVAL_S:
            return True
        # Behind a failed try the old keys are still good for a while, and `auth` isn't asked at every call.
        return now < self._tried_at + RETRY_S and now < self._fetched_at + KEPT_WITHOUT_AUTH_S

    async def _published(self) -> dict[str, Any]:
        answer = await self._http.request(
            "GET", self._url, timeout_s=_FETCH_TIMEOUT_S, limit_bytes=_SET_LIMIT_BYTES
        )
        published = answer.json() if answer.status == 200 else None
        if not isinstance(published, dict) or not isinstance(published.get("keys"), list):
            raise BadGateway("The keys' address answered with no JSON Web Key Set.")
        return {
            key["kid"]: key
            for key in published["keys"]
            if isinstance(key, dict) and isinstance(key.get("kid"), str) and key.get("kty") == "EC"
        }

    async def _take(self, documents: dict[str, Any]) -> None:
        await asyncio.to_thread(
            importlib.import_module, "joserfc.jws"
        )  # 0.15 s that nobody else should wait for
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey

        if documents != self._documents:
            keys: dict[str, Any] = {}
            for key_id, document in documents.items():
                try:
                    keys[key_id] = ECKey.import_key(document)
                except (JoseError, ValueError):
                    continue  # a key that can't be read verifies nothing; the others still do
            self._keys, self._documents = keys, documents
            self._generation += 1
        self._fetched_at = self._monotonic()
