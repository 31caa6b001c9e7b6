"""The facts of accounts and keys. None of them carries a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .fact import Fact, Identifier, Timestamp

AUTH = "/hadal/auth"


@dataclass(frozen=True, slots=True)
class AccountCreated:
    """An account was made.

    Emitted by ``auth``. Twice is harmless: an account is known by ``account_id``.
    """

    TYPE: ClassVar[str] = "dev.hadal.auth.account_created.v1"
    SOURCE: ClassVar[str] = AUTH
    account_id: Identifier
    role: Literal["admin", "member"]


@dataclass(frozen=True, slots=True)
class ApiKeyCreated:
    """An API key was made and shown once; ``expires_at`` is None for one that doesn't expire.

    Emitted by ``auth``. Twice is harmless: a key is known by ``key_id``.
    """

    TYPE: ClassVar[str] = "dev.hadal.auth.api_key_created.v1"
    SOURCE: ClassVar[str] = AUTH
    key_id: Identifier
    account_id: Identifier
    name: str
    role: Literal["admin", "member"]
    expires_at: Timestamp | None


@dataclass(frozen=True, slots=True)
class ApiKeyRevoked:
    """An API key was revoked; within 30 seconds nothing takes it any more.

    Emitted by ``auth``. Twice is harmless: a revoked key stays revoked.
    """

    TYPE: ClassVar[str] = "dev.hadal.auth.api_key_revoked.v1"
    SOURCE: ClassVar[str] = AUTH
    key_id: Identifier
    account_id: Identifier


@dataclass(frozen=True, slots=True)
class SigningKeyRotated:
    """A new key signs tokens; the one before is published until its last token has expired.

    Emitted by ``auth``. Twice is harmless: a key is known by ``kid``.
    """

    TYPE: ClassVar[str] = "dev.hadal.auth.signing_key_rotated.v1"
    SOURCE: ClassVar[str] = AUTH
    kid: Identifier


FACTS: tuple[type[Fact], ...] = (AccountCreated, ApiKeyCreated, ApiKeyRevoked, SigningKeyRotated)


def samples() -> tuple[Fact, ...]:
    """One of each fact."""
    return (
        AccountCreated("acct_01hv3kzq4t", "admin"),
        ApiKeyCreated("01hv3kzr9w", "acct_01hv3kzq4t", "laptop", "member", "2026-07-15T00:00:00Z"),
        ApiKeyRevoked("01hv3kzr9w", "acct_01hv3kzq4t"),
        SigningKeyRotated("sig-01hv3kzs2b"),
    )
