"""Who is calling: JWT access tokens (RFC 9068) signed with ES256 by `auth`, verified by its published keys.

The verifier is narrow on purpose: one algorithm, three header fields, claims of exact types. A field that it
doesn't know (`crit`, `jwk`, `jku`, `x5u`, `x5c`, `b64`, `zip`) is a refusal, never something to follow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from events import InvalidEvent, jsontext
from functions._runtime.errors import Unauthorized
from functions._runtime.outbound import HttpClient
from functions._runtime.ports import Clock, Identity, Principal

TOKEN_LIMIT_BYTES = 8 * 1024
CACHED_TOKENS = 4_096
CLOCK_SKEW_S = 5

_HEADER_FIELDS = {"alg", "typ", "kid"}
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEGMENTS = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_NAME_LIMIT = 256


class Keys(Protocol):
    """The keys that tokens are verified with."""

    async def key(self, key_id: str) -> Any | None:
        """The public key (a joserfc `ECKey`), or None where nobody published it.

        Raises:
            Unavailable: the keys can't be had now.
        """
        ...

    async def generation(self) -> int:
        """A number that changes whenever a key has been added or taken away.

        Raises:
            Unavailable: the keys can't be had now.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    expires_at: int


class TokenVerifier:
    """`Identity` by bearer tokens of one issuer for one audience.

    A verified token is remembered by its SHA-256 until it expires or the keys change.
    """

    def __init__(self, keys: Keys, issuer: str, audience: str, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._generation = -1

    async def authenticate(self, authorization: str | None) -> Principal:
        """Verify the `Authorization` header's bearer token; see the port."""
        token = _bearer(authorization)
        await self._forget_if_keys_changed()
        digest = hashlib.sha256(token).digest()
        known = self._verified.get(digest)
        now_s = self._clock.now().timestamp()
        if known is not None and now_s < known.expires_at:
            self._verified.move_to_end(digest)
            return known.principal
        verified = _checked(await self._claims(token), token, self._issuer, self._audience, now_s)
        self._verified[digest] = verified
        if len(self._verified) > CACHED_TOKENS:
            self._verified.popitem(last=False)
        return verified.principal

    async def _forget_if_keys_changed(self) -> None:
        generation = await self._keys.generation()
        if generation != self._generation:
            self._verified.clear()
            self._generation = generation

    async def _claims(self, token: bytes) -> dict[str, Any]:
        segments = _SEGMENTS.fullmatch(token)
        if segments is None:
            raise _refused("it is no signed JWT")
        header = _json_object(segments[1], "header")
        if not header.keys() <= _HEADER_FIELDS or header.get("alg") != "ES256":
            raise _refused("its header must be alg ES256, typ and kid, and nothing else")
        if header.get("typ") not in ("at+jwt", "application/at+jwt"):
            raise _refused("its typ must be at+jwt: only an access token is taken")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise _refused("its kid must be a key's name")
        key = await self._keys.key(key_id)
        if key is None:
            raise _refused("nobody published its key")
        _verify(token, key)
        return _json_object(segments[2], "claims")


def published_identity(http: HttpClient, issuer: str, audience: str, clock: Clock) -> Identity:
    """`Identity` by the keys that `issuer` publishes at `/.well-known/jwks.json`."""
    from functions._runtime.keys import PublishedKeys

    return TokenVerifier(PublishedKeys(http, f"{issuer}/.well-known/jwks.json"), issuer, audience, clock)


def _bearer(authorization: str | None) -> bytes:
    if not authorization:
        raise Unauthorized("No credential; send Authorization: Bearer <token>.", code="missing_credential")
    if len(authorization) > TOKEN_LIMIT_BYTES:
        raise _refused(f"it is longer than {TOKEN_LIMIT_BYTES} bytes")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.isascii():
        raise _refused("send Authorization: Bearer <token>")
    return token.strip().encode()


def _verify(token: bytes, key: Any) -> None:
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        jws.deserialize_compact(token, key, algorithms=["ES256"])
    except (JoseError, ValueError):
        raise _refused("its signature is wrong") from None


def _json_object(segment: bytes, what: str) -> dict[str, Any]:
    try:
        value = jsontext.loads(base64.b64decode(segment + b"=" * (-len(segment) % 4), b"-_", validate=True))
    except (binascii.Error, InvalidEvent):
        raise _refused(f"its {what} aren't JSON in base64url, or name something twice") from None
    if not isinstance(value, dict):
        raise _refused(f"its {what} aren't a JSON object")
    return value


def _checked(claims: Mapping[str, Any], token: bytes, issuer: str, audience: str, now_s: float) -> _Verified:
    expires_at, issued_at, not_before = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if type(expires_at) is not int or type(issued_at) is not int or type(not_before) is not int:
        raise _refused("exp and iat (and nbf) must be whole seconds")
    if now_s >= expires_at:
        raise Unauthorized("The token has expired; get a new one.", code="expired_credential")
    if max(issued_at, not_before) > now_s + CLOCK_SKEW_S:
        raise _refused("it isn't valid yet")
    audiences = claims.get("aud")
    if claims.get("iss") != issuer or (audiences != audience and audiences != [audience]):
        raise _refused("it was issued by or for somebody else")
    subject, tenant, roles = claims.get("sub"), claims.get("tenant"), claims.get("roles")
    if not _is_name(subject) or not _is_name(tenant):
        raise _refused("sub and tenant must be names")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _refused("roles must be a list of names")
    return _Verified(Principal(str(subject), str(tenant), frozenset(roles), token.decode()), expires_at)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _NAME_LIMIT and value.isprintable()


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"The token isn't good: {why}.")
