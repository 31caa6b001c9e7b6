"""The wiring of `auth`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from functions._runtime.function import Function, Ground, function
from functions._runtime.identity import TokenVerifier
from functions._runtime.settings import variable
from functions._runtime.store import open_store, store_url
from functions.auth.accounts import Accounts
from functions.auth.api_keys import ApiKeys, KeyMaker
from functions.auth.handler import Auth
from functions.auth.model import BootstrapToken, digest
from functions.auth.signing_keys import Seal, SigningKeys
from functions.auth.tokens import TokenEndpoint, tenant_name


def secret(text: str) -> str:
    """A parser of secrets: long enough that nobody guesses one."""
    if len(text) < 32:
        raise ValueError("should be random and at least 32 characters long")
    return text


def client_digests(names: str) -> Mapping[str, str]:
    """A parser of `SERVICE_CLIENTS`: the digest of `CLIENT_SECRET_<NAME>` for each of `names`."""
    digests = {}
    for name in filter(None, (each.strip() for each in names.split(","))):
        variable_name = "CLIENT_SECRET_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        try:
            digests[name] = digest(secret(os.environ.get(variable_name, "")))
        except ValueError as error:
            raise ValueError(f"{variable_name} {error}") from None
    return digests


@dataclass(frozen=True, slots=True)
class Settings:
    """What `auth` is told.

    Attributes:
        clients: the digests of the functions' own secrets, by function.
        tenant: the first admin's.
    """

    key_encryption_key: str = variable("HADAL_KEY_ENCRYPTION_KEY", parse=secret, secret=True)
    store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)
    bootstrap_token: str | None = variable("HADAL_BOOTSTRAP_TOKEN", default=None, parse=secret, secret=True)
    clients: Mapping[str, str] | None = variable("SERVICE_CLIENTS", default=None, parse=client_digests)
    tenant: str = variable("HADAL_TENANT", default="default", parse=tenant_name)


async def build(settings: Settings, ground: Ground) -> Function:
    """`auth` over a real store."""
    store = await ground.stack.enter_async_context(open_store(settings.store, ground.name))
    accounts = store.documents("accounts", indexes=("tenant",))
    keys = store.documents("api_keys", indexes=("tenant", "account"))
    clock, ids = ground.clock, ground.ids
    ring = store.documents("signing_keys")
    signing_keys = SigningKeys(ring, Seal(settings.key_encryption_key), clock)
    issuer, audience = ground.settings.issuer, ground.settings.audience
    identity = TokenVerifier(signing_keys, issuer, audience, clock)
    token = BootstrapToken(digest(settings.bootstrap_token) if settings.bootstrap_token else None)
    clients = settings.clients or {}
    make = KeyMaker(keys, clock, ids)
    endpoints = Auth(
        tokens=TokenEndpoint(accounts, keys, signing_keys, clients, issuer, audience, clock, ids),
        accounts=Accounts(accounts, make, identity, token, settings.tenant, clock, ids),
        api_keys=ApiKeys(accounts, keys, make, identity, token),
        signing_keys=signing_keys,
        identity=identity,
    )
    return Function(endpoints.routes(), ready={"store": store.check, "signing keys": signing_keys.check})


auth = function("auth", Settings, build)
