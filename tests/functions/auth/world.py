"""`auth` over memory: a clock that a test sets, callers that a test names, and the whole surface to call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.clock import SystemIds
from functions._runtime.errors import Unauthorized
from functions._runtime.http import Request, Response
from functions._runtime.ports import Principal
from functions._runtime.routing import Router
from functions.auth.accounts import Accounts
from functions.auth.api_keys import ApiKeys, KeyMaker
from functions.auth.handler import Auth
from functions.auth.model import BootstrapToken, digest
from functions.auth.signing_keys import Seal, SigningKeys
from functions.auth.tokens import API_KEY, TOKEN_EXCHANGE, TokenEndpoint
from tests.functions.clocks import SettableClock

BOOTSTRAP_TOKEN = "bootstrap-" + "b" * 32
CLIENT_SECRET = "client-" + "c" * 32
SEAL_SECRET = "seal-" + "s" * 32
ISSUER, AUDIENCE = "http://auth.hadal.svc.cluster.local", "hadal"


@dataclass
class KnownCallers:
    """An identity that knows the bearers a test has named."""

    callers: dict[str, Principal] = field(default_factory=dict)

    async def authenticate(self, authorization: str | None) -> Principal:
        caller = self.callers.get((authorization or "").removeprefix("Bearer "))
        if caller is None:
            raise Unauthorized("Nobody.")
        return caller


@dataclass
class World:
    """One replica of `auth`; give another one the same store and clock."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: SettableClock = field(default_factory=SettableClock)
    identity: KnownCallers = field(default_factory=KnownCallers)

    def __post_init__(self) -> None:
        self.accounts = self.store.documents("accounts", indexes=("tenant",))
        self.keys = self.store.documents("api_keys", indexes=("tenant", "account"))
        self.ring = self.store.documents("signing_keys")
        ids = SystemIds()
        self.signing_keys = SigningKeys(self.ring, Seal(SEAL_SECRET), self.clock)
        clients = {"summarize": digest(CLIENT_SECRET)}
        tokens = TokenEndpoint(
            self.accounts, self.keys, self.signing_keys, clients, ISSUER, AUDIENCE, self.clock, ids
        )
        make = KeyMaker(self.keys, self.clock, ids)
        token = BootstrapToken(digest(BOOTSTRAP_TOKEN))
        accounts = Accounts(self.accounts, make, self.identity, token, "default", self.clock, ids)
        api_keys = ApiKeys(self.accounts, self.keys, make, self.identity, token)
        self.router = Router(Auth(tokens, accounts, api_keys, self.signing_keys, self.identity).routes())

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        bearer: str | None = None,
        query: dict[str, str] | None = None,
        form: list[tuple[str, str]] | None = None,
    ) -> Response:
        headers = {"authorization": f"Bearer {bearer}"} if bearer is not None else {}
        content = b"" if body is None else orjson.dumps(body)
        if form is not None:
            content, headers["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        route, params = self.router.match(method, path.encode())
        return await route.handler(Request(method, path, params, query or {}, headers, content))

    async def bootstrap(self) -> str:
        """The first admin's API key; as a bearer, `admin` is this account."""
        answer = document(await self.call("POST", "/bootstrap", bearer=BOOTSTRAP_TOKEN))
        self.signs_in("admin", str(answer["account"]), "default", "admin")
        return str(answer["api_key"])

    def signs_in(self, bearer: str, subject: str, tenant: str, *roles: str) -> None:
        """From now on `bearer` is the token of `subject`."""
        self.identity.callers[bearer] = Principal(subject, tenant, frozenset(roles), bearer)

    async def member(self, bearer: str, name: str = "a member") -> str:
        """A new member of the tenant `default`, signed in as `bearer`; its id."""
        account = document(await self.call("POST", "/v1/accounts", {"name": name}, bearer="admin"))
        self.signs_in(bearer, account["id"], "default", "member")
        return str(account["id"])

    async def exchange(self, api_key: str) -> Response:
        form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token_type", API_KEY),
            ("subject_token", api_key),
        ]
        return await self.call("POST", "/token", form=form)

    async def claims(self, answer: Response) -> dict[str, Any]:
        """The claims of a token that was given, verified with the published keys."""
        token = document(answer)["access_token"]
        published = document(await self.call("GET", "/.well-known/jwks.json"))
        keys = KeySet([ECKey.import_key(key) for key in published["keys"]])
        return dict(jwt.decode(token, keys, algorithms=["ES256"]).claims)


def document(response: Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    value = orjson.loads(response.body)
    assert isinstance(value, dict)
    return value
