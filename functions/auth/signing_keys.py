"""The keys that tokens are signed with, and their rotation.

All of them are one document, the ring, so that every change is one compare-and-set: replicas that make the
first key at the same moment agree on one. A key may sign from the moment that it is published, because
a verifier that meets an unknown `kid` fetches the set again. Called rotations therefore sign at once (the old
key may have leaked); rotations by age show the new key a minute ahead, so that they disturb no verifier, not
even one that a flood of unknown `kid`s keeps from fetching.

joserfc is imported where a key is used: it takes a fifth of a cold start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from functions._runtime.errors import Unavailable, VersionConflict
from functions._runtime.ports import Clock, Documents

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

TOKEN_LIFETIME_S = 300
ROTATION_AGE_S = int(timedelta(days=30).total_seconds())
ANNOUNCED_AHEAD_S = 60
RING_CACHE_S = 10
CLOCK_LEEWAY_S = 60
RETENTION_S = TOKEN_LIFETIME_S + RING_CACHE_S + CLOCK_LEEWAY_S
"""How long a key is published after its successor has begun to sign: until its last token has expired, signed
by a replica that hadn't read of the successor yet, and judged by a verifier whose clock is behind."""

_RING = "ring"
_MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One ES256 key pair (RFC 7518, 3.4).

    Attributes:
        kid: the thumbprint of the public key (RFC 7638).
        public: the public key as a JWK.
        sealed: the private key as an encrypted JWK (RFC 7517, 7).
        signs_from_s: Unix seconds.
    """

    kid: str
    public: Mapping[str, str]
    sealed: str
    signs_from_s: int

    def jwk(self) -> dict[str, str]:
        """The public key as it is published (RFC 7517, 4)."""
        return {**self.public, "kid": self.kid, "use": "sig", "alg": "ES256"}


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys, oldest first, and the version of the document they stand in."""

    keys: tuple[SigningKey, ...]
    version: int

    def signing(self, at_s: int) -> SigningKey:
        """The key that signs at `at_s`: the newest that may."""
        return next((key for key in reversed(self.keys) if key.signs_from_s <= at_s), self.keys[0])

    def published(self, at_s: int) -> tuple[SigningKey, ...]:
        """Every key that a token may be signed with that is still good at `at_s`."""
        gone_at = [successor.signs_from_s + RETENTION_S for successor in self.keys[1:]]
        return (
            *(key for key, gone_s in zip(self.keys, gone_at, strict=False) if at_s < gone_s),
            self.keys[-1],
        )


class Seal:
    """Encrypts private keys for storage: a JWE with A256GCM under a key made from the deployment's secret."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"hadal/signing-keys\0" + secret.encode()).digest()

    def close(self, private_jwk: Mapping[str, Any]) -> str:
        """The private key as text that says nothing without the secret."""
        from joserfc import jwe
        from joserfc.jwk import OctKey

        header = {"alg": "dir", "enc": "A256GCM", "cty": "jwk+json"}
        return jwe.encrypt_compact(header, orjson.dumps(private_jwk), OctKey.import_key(self._key))

    def open(self, sealed: str) -> ECKey:
        """The private key.

        Raises:
            Unavailable: it was sealed with another secret.
        """
        from joserfc import jwe
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, OctKey

        try:
            plaintext = jwe.decrypt_compact(sealed, OctKey.import_key(self._key)).plaintext
        except JoseError:
            message = "HADAL_KEY_ENCRYPTION_KEY isn't the one the stored signing key was encrypted with."
            raise Unavailable(message, code="signing_key_unreadable") from None
        return ECKey.import_key(orjson.loads(plaintext or b""))


@dataclass(slots=True)
class SigningKeys:
    """Signs claims, publishes the public keys, rotates; is `identity.Keys` for tokens that come back here."""

    documents: Documents
    seal: Seal
    clock: Clock
    _ring: Ring | None = field(default=None, init=False)
    _read_at_s: int = field(default=0, init=False)
    _opened: tuple[str, ECKey] | None = field(default=None, init=False)

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """`claims` as a JWT of type `at+jwt` (RFC 9068).

        Raises:
            Unavailable: the keys can't be read.
        """
        from joserfc import jwt

        now_s = self._now_s()
        ring = self._ring
        if ring is None or not 0 <= now_s - self._read_at_s < RING_CACHE_S:
            ring = await self._rotated_by_age(await self._read())
        key = ring.signing(now_s)
        header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
        return jwt.encode(header, dict(claims), self._private(key), algorithms=["ES256"])

    async def published(self) -> list[dict[str, str]]:
        """The JWKs to verify with, read from the store each time: a stale set would refuse good tokens."""
        return [key.jwk() for key in (await self._read()).published(self._now_s())]

    async def key(self, key_id: str) -> ECKey | None:
        """The published key `key_id` to verify with, or None: `auth` verifies its callers' tokens itself."""
        from joserfc.jwk import ECKey

        published = (await self._read()).published(self._now_s())
        return next((ECKey.import_key(dict(key.public)) for key in published if key.kid == key_id), None)

    async def generation(self) -> int:
        """A number that changes with the keys."""
        return (await self._read()).version

    async def check(self) -> None:
        """Return if tokens can be signed (for `/readyz`).

        Raises:
            Unavailable: they can't, and why.
        """
        self._private((await self._read()).signing(self._now_s()))

    async def rotate(self) -> str:
        """Make a new key that signs from now on; its kid."""
        for _ in range(_MOST_TRIES):
            ring = await self._read()
            try:
                return (await self._add(ring, self._now_s())).keys[-1].kid
            except VersionConflict:
                continue
        raise Unavailable("Other rotations were quicker; try again.", retry_after_s=1)

    async def _rotated_by_age(self, ring: Ring) -> Ring:
        now_s = self._now_s()
        if now_s - ring.keys[-1].signs_from_s < ROTATION_AGE_S:
            return ring
        try:
            return await self._add(ring, now_s + ANNOUNCED_AHEAD_S)
        except VersionConflict:  # another replica has just done it
            return await self._read()

    async def _read(self) -> Ring:
        """The ring as stored, made if this is its first use."""
        for _ in range(_MOST_TRIES):
            document = await self.documents.get(_RING)
            if document is not None:
                ring = Ring(tuple(SigningKey(**key) for key in document.body["keys"]), document.version)
                return self._remember(ring)
            try:
                return await self._add(Ring((), 0), self._now_s())
            except VersionConflict:  # another replica made it first: read that one
                continue
        raise Unavailable("The signing keys can't be read now; try again.", retry_after_s=1)

    async def _add(self, ring: Ring, signs_from_s: int) -> Ring:
        from joserfc.jwk import ECKey

        pair = ECKey.generate_key("P-256")
        sealed = self.seal.close(pair.as_dict(private=True))
        public = {str(name): str(value) for name, value in pair.as_dict(private=False).items()}
        key = SigningKey(pair.thumbprint(), public, sealed, signs_from_s)
        kept = Ring((*ring.keys, key), ring.version).published(self._now_s())
        version = await self.documents.put(_RING, {"keys": _bodies(kept)}, if_version=ring.version)
        return self._remember(Ring(kept, version))

    def _remember(self, ring: Ring) -> Ring:
        self._ring, self._read_at_s = ring, self._now_s()
        return ring

    def _private(self, key: SigningKey) -> ECKey:
        if self._opened is None or self._opened[0] != key.kid:
            self._opened = (key.kid, self.seal.open(key.sealed))
        return self._opened[1]

    def _now_s(self) -> int:
        return int(self.clock.now().timestamp())


def _bodies(keys: Iterable[SigningKey]) -> list[dict[str, Any]]:
    return [asdict(key) for key in keys]
