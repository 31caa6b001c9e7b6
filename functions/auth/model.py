"""Accounts and API keys: what they are made of, and when a key is good."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from functions._runtime.http import Request

Role = Literal["member", "admin"]
ROLES: tuple[Role, ...] = ("member", "admin")
"""Least right first."""

FIRST_ACCOUNT = "acct_first"
"""The first admin's id: one document, so of two that make it at once the store lets one win."""

SECRET_CHARACTERS = 43
"""43 characters out of 62 carry 256 bits."""

_BASE62 = string.digits + string.ascii_letters
_KEY_TEXT = re.compile(r"hdl_([0-9a-f]{32})_([0-9A-Za-z]{43})", re.ASCII)


def lesser(one: Role, other: Role) -> Role:
    """Of two roles the one with the lesser right."""
    return min(one, other, key=ROLES.index)


def new_secret() -> str:
    """A secret that nobody can guess: 256 bits from the system's source, in base62."""
    return "".join(secrets.choice(_BASE62) for _ in range(SECRET_CHARACTERS))


def digest(secret: str) -> str:
    """SHA-256 in hex. A slow hash guards what can be guessed, and 256 random bits can't."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same_secret(secret: str, expected_digest: str) -> bool:
    """Whether `secret` is the one behind the digest, in a time that doesn't tell how much of it is right."""
    return hmac.compare_digest(digest(secret), expected_digest)


@dataclass(frozen=True, slots=True)
class Account:
    """Someone with rights in a tenant."""

    id: str
    tenant: str
    name: str
    role: Role
    created_at_s: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """The account that a stored document describes."""
        return cls(**{field.name: body[field.name] for field in fields(cls)})

    def body(self) -> dict[str, Any]:
        """The document that is stored."""
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """The account as its tenant's admins see it; times in Unix seconds, as on OpenAI's surface."""
        return {
            "id": self.id,
            "object": "account",
            "name": self.name,
            "role": self.role,
            "created_at": self.created_at_s,
        }


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of an account. Its secret isn't in here: only the digest is, and that is all that is stored."""

    id: str
    tenant: str
    account: str
    name: str
    role: Role
    secret_sha256: str
    created_at_s: int
    expires_at_s: int | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """The key that a stored document describes."""
        return cls(**{field.name: body[field.name] for field in fields(cls)})

    def body(self) -> dict[str, Any]:
        """The document that is stored."""
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """The key without its secret; times in Unix seconds, as on OpenAI's surface."""
        return {
            "id": self.id,
            "object": "api_key",
            "name": self.name,
            "account": self.account,
            "role": self.role,
            "created_at": self.created_at_s,
            "expires_at": self.expires_at_s,
        }

    def opens_with(self, secret: str, at_s: int) -> bool:
        """Whether `secret` is this key's and the key is good at `at_s` (Unix seconds)."""
        right = same_secret(secret, self.secret_sha256)
        return right and (self.expires_at_s is None or at_s < self.expires_at_s)


def key_text(key_id: str, secret: str) -> str:
    """The key as its owner holds it, `hdl_<id>_<secret>`."""
    return f"hdl_{key_id.removeprefix('key_')}_{secret}"


def parse_key_text(text: str) -> tuple[str, str] | None:
    """Id and secret of a key as its owner holds it, or None if it has another form."""
    match = _KEY_TEXT.fullmatch(text)
    return (f"key_{match[1]}", match[2]) if match else None


@dataclass(frozen=True, slots=True)
class BootstrapToken:
    """The deployment's own credential: it makes the first admin, and a new key for one who has lost theirs.

    Attributes:
        sha256: the token's digest; None where the deployment has no such token.
    """

    sha256: str | None

    def is_in(self, request: Request) -> bool:
        """Whether the request bears it."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.sha256 is not None and scheme.lower() == "bearer" and same_secret(token, self.sha256)
